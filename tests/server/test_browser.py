"""The page in a real browser: a person enrolls people, corrects mistakes, and removes somebody, who is then gone."""

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import PATHS, WIDTHS, chromium, film, findings, page_of
from killing import everything_in
from playwright.sync_api import Browser, Page, expect

OBAMA, HOPPER, BIDEN = "Barack Obama", "Grace Hopper", "Joe Biden"
LONG = "W" * 200  # without a place to break the line


@pytest.fixture(scope="module")
def browser(small_samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose webcam shows the astronaut Eileen Collins."""
    webcam = film(
        small_samples / "strangers" / "eileen_collins_astronaut.jpg", tmp_path_factory.mktemp("film") / "a.mjpeg"
    )
    with chromium(webcam) as opened:
        yield opened


@pytest.fixture
def photos_of(small_samples: Path) -> Callable[[str], list[Path]]:
    """photos_of(person): the sample photos, oldest name first."""
    return lambda person: sorted((small_samples / "people" / person).iterdir())


@pytest.fixture
def shot(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """shot(page, name): a screenshot in the folder of --screenshots, if it is given."""
    folder = request.config.getoption("--screenshots")

    def take(page: Page, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    return take


def enroll(page: Page, name: str, photos: list[Path], alike: str = "") -> None:
    """By the form below the people. alike: the person of whom they are a second one."""
    page.goto("/people")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Photos").set_input_files(photos)
    page.get_by_role("button", name="Enroll").click()
    if alike:  # the page says so first
        expect(page.get_by_text(f"{name} looks like {alike}")).to_be_visible()
        page.get_by_role("link", name=f"See {name}").click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def identify(page: Page, *photos: Path) -> None:
    """Each photo that is chosen is answered."""
    page.goto("/")
    page.get_by_label("Photos").set_input_files(photos)
    expect(page.locator("article.photo")).to_have_count(len(photos))


def test_a_person_does_it_all(browser: Browser, photos_of, small_samples: Path, tmp_path: Path, shot) -> None:
    blue_room = small_samples / "held_back" / "barack_obama_blue_room_2010.jpg"
    with page_of(browser, tmp_path / "gallery", permissions=["camera"]) as page:
        # two people are enrolled, one of them under two names
        enroll(page, HOPPER, photos_of(HOPPER))
        enroll(page, "B. Obama", photos_of(OBAMA)[:1])
        enroll(page, OBAMA, photos_of(OBAMA)[1:], alike="B. Obama")

        # a third is named by the webcam
        page.goto("/")
        page.get_by_role("button", name="Use the webcam").click()
        page.get_by_role("button", name="Take a picture").click()
        expect(page.locator("article.photo .who")).to_have_text("unknown")
        page.get_by_label("This is").fill("Ellen Collins")
        page.get_by_role("button", name="Enroll").click()
        expect(page.get_by_text("Ellen Collins: enrolled with this face.")).to_be_visible()
        expect(page.locator("article.photo summary")).to_be_focused()
        expect(page.locator("article.photo svg a.is-known")).to_have_attribute("aria-label", "Face 1: Ellen Collins")
        expect(page.locator("article.photo svg text").first).to_have_text("Ellen Collins")
        page.get_by_role("button", name="Take a picture").click()
        expect(page.locator("article.photo").first.locator("figcaption")).to_have_text("webcam.jpg: 1 face")
        expect(page.locator("article.photo .who").first).to_contain_text("Ellen Collins")
        page.get_by_role("button", name="Stop the webcam").click()

        # a mistake is corrected
        page.goto("/people")
        page.get_by_label("Search by name").fill("ellen")
        expect(page.locator("#found li")).to_have_count(1)
        page.get_by_role("link", name=re.compile("Ellen Collins")).click()
        page.get_by_text("Rename").first.click()
        page.get_by_label("New name").fill("Eileen Collins")
        page.get_by_role("button", name="Rename").click()
        expect(page.get_by_role("heading", name="Eileen Collins", level=1)).to_be_visible()

        # a face is said not to be somebody, and is not taken for them again
        identify(page, photos_of(BIDEN)[0], blue_room)
        known = page.locator("article.photo", has_text="barack_obama_blue_room_2010.jpg")
        known.locator("svg a").click()
        expect(known.get_by_role("button", name=re.compile("This is not "))).to_be_visible()
        shot(page, "identified")
        known.get_by_role("button", name=re.compile("This is not ")).click()
        expect(known.get_by_text("Noted.")).to_be_visible()

        # two people are merged
        page.goto("/people")
        page.get_by_role("link", name=re.compile("B. Obama")).click()
        page.get_by_text("Merge with somebody").click()
        page.get_by_label("The other person").fill(OBAMA)
        page.get_by_role("button", name="Merge").click()
        expect(page.get_by_text("2 photos ·")).to_be_visible()

        # and one is removed, which is proved
        page.get_by_text(f"Remove {OBAMA}").first.click()
        page.get_by_role("link", name=f"Remove {OBAMA}").click()
        assert OBAMA.encode() in everything_in(tmp_path / "gallery")
        page.get_by_role("button", name="Remove for good").click()
        expect(page.get_by_role("status")).to_contain_text("Nothing is left")
        rows = page.locator("#proof tbody tr").all()
        before, after = ([row.locator("td").nth(place).inner_text() for row in rows] for place in (0, 1))
        assert all(int(count) for count in before)
        assert set(after) == {"0"}
        assert OBAMA.encode() not in everything_in(tmp_path / "gallery")
        assert findings(page) == []
        shot(page, "removed")


def test_photos_are_dropped_and_pasted(browser: Browser, small_samples: Path, tmp_path: Path) -> None:
    photo = base64.b64encode((small_samples / "strangers" / "eileen_collins_astronaut.jpg").read_bytes()).decode()
    make = """([kind, where, photo]) => {
        const bytes = Uint8Array.from(atob(photo), (letter) => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], `${kind}.jpg`, {type: "image/jpeg"}));
        const event = new Event(kind, {bubbles: true, cancelable: true});
        event.dataTransfer = event.clipboardData = data;
        document.querySelector(where).dispatchEvent(event);
    }"""
    with page_of(browser, tmp_path / "gallery") as page:
        page.goto("/")
        for number, (kind, where) in enumerate([("drop", "#drop"), ("paste", "body")], 1):
            page.evaluate(make, [kind, where, photo])
            expect(page.locator("article.photo")).to_have_count(number)
            expect(page.locator("article.photo").first).to_contain_text(f"{kind}.jpg: 1 face")
        too_much = "The server takes at most 32 photos and 32 MB at a time."
        page.locator("#photos").evaluate("(photos) => { photos.dataset.bytes = 1000; }")
        page.evaluate(make, ["drop", "#drop", photo])
        expect(page.locator("#state")).to_contain_text(too_much)
        page.goto("/people")
        photos = page.get_by_label("Photos")
        for count, said in ((33, too_much), (32, "")):
            photos.set_input_files([{"name": f"{n}.png", "mimeType": "image/png", "buffer": b""} for n in range(count)])
            assert photos.evaluate("(photos) => photos.validationMessage").startswith(said)
            assert photos.evaluate("(photos) => photos.validity.valid") == (not said)


def test_a_rate_is_chosen_by_what_it_costs(browser: Browser, photos_of, tmp_path: Path) -> None:
    with page_of(browser, tmp_path / "gallery") as page:
        for person in (HOPPER, OBAMA):
            enroll(page, person, photos_of(person))
        page.goto("/threshold")
        expect(page.locator("#cost")).to_contain_text("At 1 % the threshold is")
        before = page.locator("#cost strong").inner_text()
        page.get_by_label("Strangers taken for somebody").press("ArrowRight")
        expect(page.locator("#cost")).to_contain_text("At 2 % the threshold is")
        expect(page.locator("#cost")).to_contain_text("0 of 2 photos of members would be missed")
        page.get_by_role("button", name="Use this rate").click()
        expect(page.locator("tr", has_text="in use")).to_contain_text("2 %")
        after = page.locator("#cost strong").inner_text()
        assert float(before.split()[-1].rstrip(".")) < float(after.split()[-1].rstrip("."))


def test_review_by_the_keyboard(browser: Browser, photos_of, small_samples: Path, tmp_path: Path, shot) -> None:
    strangers = [small_samples / "strangers" / "eileen_collins_astronaut.jpg", *photos_of(BIDEN)]
    with page_of(browser, tmp_path / "gallery", keep_unknown=30, refused=1) as page:
        enroll(page, HOPPER, photos_of(HOPPER))
        identify(page, *strangers)
        page.goto("/review")
        expect(page.locator(".case")).to_have_count(2)
        shot(page, "review")
        page.keyboard.press("j")
        page.locator(".case:focus").get_by_label("This is").fill("Eileen\tCollins")
        page.keyboard.press("Enter")
        expect(page.locator(".case:focus .note.bad")).to_be_visible()
        expect(page.locator(".case")).to_have_count(2)
        page.locator(".case:focus").get_by_label("This is").fill("Eileen Collins")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Eileen Collins: enrolled.")).to_be_visible()
        expect(page.locator(".case:focus")).to_have_count(1)
        page.keyboard.press("n")
        expect(page.get_by_text("1 unknown face is forgotten.")).to_be_visible()
        expect(page.locator(".case")).to_have_count(0)
        page.reload()
        expect(page.get_by_text("Nothing waits.")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width", "second"), [("light", "wide", OBAMA), ("dark", "narrow", LONG)])
def test_every_page_is_accessible(
    browser: Browser, photos_of, small_samples: Path, tmp_path: Path, shot, scheme: str, width: str, second: str
) -> None:
    with page_of(browser, tmp_path / "gallery", keep_unknown=30, color_scheme=scheme) as page:
        page.set_viewport_size(WIDTHS[width])
        enroll(page, HOPPER, photos_of(HOPPER))
        enroll(page, second, photos_of(OBAMA))
        person = page.url
        identify(page, small_samples / "held_back" / "barack_obama_blue_room_2010.jpg", *photos_of(BIDEN))
        page.locator("article.photo summary").first.click()
        shot(page, f"answers-{scheme}-{width}")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert findings(page) == []
        for name, path in {**PATHS, "person": person, "remove": f"{person}/remove"}.items():
            page.goto(path)
            shot(page, f"{name}-{scheme}-{width}")
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name} is too wide"
            assert findings(page) == [], name


def test_without_javascript(browser: Browser, photos_of, small_samples: Path, tmp_path: Path) -> None:
    with page_of(browser, tmp_path / "gallery", java_script_enabled=False) as page:
        enroll(page, HOPPER, photos_of(HOPPER))
        page.goto("/")
        page.get_by_label("Photos").set_input_files(small_samples / "strangers" / "eileen_collins_astronaut.jpg")
        page.get_by_role("button", name="Identify").click()
        page.locator("article.photo summary").click()
        page.get_by_label("This is").fill("Eileen Collins")
        page.get_by_role("button", name="Enroll").click()
        expect(page.get_by_text("Eileen Collins: enrolled with this face.")).to_be_visible()
        page.get_by_role("link", name="See Eileen Collins").click()
        page.get_by_text("Remove Eileen Collins").first.click()
        page.get_by_role("link", name="Remove Eileen Collins").click()
        page.get_by_role("button", name="Remove for good").click()
        expect(page.get_by_text("Nothing is left")).to_be_visible()
        page.goto("/people")
        expect(page.locator("#found li")).to_have_count(1)
