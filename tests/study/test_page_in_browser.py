"""The page of a study in a real browser: on wide and narrow screens, light and dark, and on paper."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import toy_study
from browser import WIDTHS, chromium, findings
from playwright.sync_api import Browser, Page

from facerec.study.page import write_page
from facerec.study.results import CellResult, write_cell, write_plan

PAPER = 680  # pixels of A4 between its margins
DRAWN = """() => Array.from(document.images, (image) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    return [image.clientWidth, image.clientHeight, new Set(pixels).size];
})"""
CUT = """() => Array.from(document.querySelectorAll("main *"))
    .filter((element) => element.getBoundingClientRect().right > window.innerWidth + 1)
    .map((element) => element.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study of two backbones, with long names, a failure and ways that are left out."""
    folder = tmp_path_factory.mktemp("study")
    plan = toy_study.plan(seeds=3, strategies=("full", "discriminative"), folder=f"photos/{'x' * 200}")
    write_plan(folder, plan)
    for cell in plan.cells():
        first = 0.5 + 0.01 * cell.seed
        done = toy_study.cell(*(cell.backbone, cell.strategy, cell.seed), (first, first), (0.9, 0.7), (1.0, 0.68))
        failed = CellResult(cell.backbone, cell.strategy, cell.seed, "failed", reason=f"killed: {'y' * 200}")
        write_cell(folder, failed if (cell.backbone, cell.strategy) == ("squeezenet1_1", "full") else done)
    return write_page(folder)


@contextmanager
def opened(browser: Browser, path: Path, **context: object) -> Iterator[Page]:
    """The page from its file. Nothing is written to the console as an error, and nothing else is asked for."""
    said: list[str] = []
    asked = browser.new_context(**context)  # type: ignore[arg-type]
    page = asked.new_page()
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if not request.url.startswith("data:") else None)
    try:
        page.goto(path.as_uri())
        yield page
    finally:
        asked.close()
    assert said == [path.as_uri()]


@pytest.mark.parametrize(("scheme", "width"), [("light", "wide"), ("dark", "narrow")])
def test_plots_are_drawn_and_nothing_is_wider_than_the_screen(
    browser: Browser, path: Path, scheme: str, width: str
) -> None:
    with opened(browser, path, color_scheme=scheme, viewport=WIDTHS[width]) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        drawn = page.evaluate(DRAWN)
        assert len(drawn) == 2 + 3
        assert all(wide > 200 and high > 150 and colours > 10 for wide, high, colours in drawn), drawn
        assert findings(page) == []


def test_paper_shows_everything_in_black_on_white(browser: Browser, path: Path) -> None:
    with opened(browser, path, color_scheme="dark", viewport={"width": PAPER, "height": 1000}) as page:
        assert page.pdf(format="A4").startswith(b"%PDF")
        page.emulate_media(media="print")
        assert page.evaluate(CUT) == []
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
