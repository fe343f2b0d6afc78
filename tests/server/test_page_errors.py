"""What the page says when something did not work."""

import pytest
from page_client import Site, add, face_in, field
from toy_server import form, png, serving

from facerec.server.pages.view import plain
from facerec.server.service import Service


def test_a_change_without_the_token_is_refused(site: Site) -> None:
    site.get("/")
    answer = site.client.post(site.root + "/people", data={"name": "Ann"}, files=form(png(0)))
    assert answer.status_code == 403
    assert "the page is out of date" in answer.text
    assert answer.headers["content-type"].startswith("text/html")


def test_an_error_leads_back_and_loses_nothing_that_was_typed(site: Site) -> None:
    ann = add(site, "Ann", png(0))
    add(site, "Bob", png(1))
    for referer, back in ((f"{site.root}/people/{ann}?x=1", f"/people/{ann}?x=1"), ("http://evil.example/a", "/")):
        site.client.headers["Referer"] = referer
        assert f'<a class="button" href="{back}">Back</a>' in site.post(f"/people/{ann}/name", name="Bob").text
    for what, wrong, right in (("name", {"name": "Bob"}, {"name": "Al"}), ("consent", {"until": "x"}, {"note": "yes"})):
        refused = site.post(f"/people/{ann}/{what}", part=True, **wrong)
        assert (refused.status_code, "<html" in refused.text, "note bad" in refused.text) == (
            422 if what == "consent" else 409, False, True,
        )  # fmt: skip
        assert site.post(f"/people/{ann}/{what}", part=True, **right).headers["hx-redirect"] == f"/people/{ann}"
    assert site.get(f"/people/{ann}").text.count('hx-target="find .said"') == 3


def test_a_browser_is_told_of_errors_by_a_page(service: Service) -> None:
    with serving(service, body_bytes=100_000) as client:
        site = Site(client)
        browser = {"Accept": "text/html,application/xhtml+xml"}
        nowhere = client.get(f"{site.root}/nope", headers=browser)
        large = client.post(f"{site.root}/people", files=form(bytes(900_000)), headers=browser)
        for answer, status in ((nowhere, 404), (large, 413)):
            assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (status, "text/html")
            assert "That did not work" in answer.text
        assert "send fewer photos" in large.text
        for path in (f"{site.root}/nope", "/nope"):
            answer = client.get(path, headers=browser if path == "/nope" else {})
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        for path in ("/", "/people"):
            assert 'data-bytes="100000" data-files="32" data-too-much="The server takes at' in site.get(path).text


def test_a_message_gives_links_and_no_commands(site: Site) -> None:
    """Whoever reads the page is not at a command line."""
    ann, bob = add(site, "Ann", png(0)), add(site, "Bob", png(1))
    face = field(face_in(site, png(0)), "face")
    enrolled = site.post("/faces", part=True, face=face, do="enroll", name="Bob").text
    vetoed = site.post("/faces", part=True, face=face, do="not", person=str(ann)).text
    photos = site.post(f"/people/{bob}/photos", form(png(0))).text
    taken = site.post(f"/people/{ann}/name", name="Bob").text
    for text, said in ((enrolled, "enrolled as Ann"), (vetoed, "enrolled as Ann"), (photos, "enrolled as Ann")):
        assert said in text
        assert f'href="/people/{ann}"' in text
    assert "Bob&#39; is enrolled already; choose another name" in taken
    assert not any("`" in text for text in (enrolled, vetoed, photos, taken))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("a.jpg: enrolled as Ann; if not, `facerec gallery remove 'A; B' --photo a.jpg`", "a.jpg: enrolled as Ann"),
        ("'Bob' is enrolled (`facerec gallery merge` joins); choose another", "'Bob' is enrolled; choose another"),
        ("like Ann's (0.30); give that name, or `force` enrolls Anna", "like Ann's (0.30); give that name"),
        ("nobody is called 'X'; `facerec gallery list` shows who is", "nobody is called 'X'"),
        ("Ann (the first); choose", "Ann (the first); choose"),
    ],
)  # fmt: skip
def test_plain_words(message: str, said: str) -> None:
    assert plain(message) == said


def test_a_message_tells_no_path(site: Site) -> None:
    ann = add(site, "Ann", png(0))
    add(site, "Bob", png(1))
    taken = site.post(f"/people/{ann}/name", name="Bob")
    assert taken.status_code == 409
    assert "&#39;Bob&#39; is enrolled already" in taken.text
    folder = str(site.client.app.state.service.gallery.folder)
    gone = site.post("/review/faces", part=True, numbers="99", do="enroll", name="Cy")
    assert "not kept any more" in gone.text
    assert not any(folder in text for text in (taken.text, gone.text, site.get("/about").text))


@pytest.mark.parametrize("number", ["", "0", "-1", "9" * 18, "9" * 30, "9" * 5000, "x", "٣"])
def test_odd_numbers_in_forms_name_nobody(site: Site, number: str) -> None:
    face = field(face_in(site, png(0)), "face")
    assert site.post("/faces", face=face, person=number, do="not").status_code == 404
    for do in ("enroll", "not", "claimed"):
        answer = site.post("/review/faces", numbers=number, one=number, other=number, do=do)
        assert answer.status_code in {200, 404}
    assert site.post("/review/people", one=number, other=number, do="merge").status_code in {200, 422}
    assert site.get(f"/review/faces/{number}.png").status_code in {404, 422}
