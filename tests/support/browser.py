"""A real browser (Debian's Chromium, driven by Playwright) on a server with the shipped model and the sample photos."""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import PIL.Image
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from toy_server import serving

from facerec.server.service import Service

AXE = Path(__file__).parent / "axe" / "axe.min.js"
WIDTHS: dict[str, ViewportSize] = {"wide": {"width": 1400, "height": 1000}, "narrow": {"width": 400, "height": 800}}
PATHS = {"identify": "/", "people": "/people", "review": "/review", "threshold": "/threshold", "log": "/log"}
PATHS |= {"about": "/about"}


@contextmanager
def chromium(webcam: Path | None = None) -> Iterator[Browser]:
    """A browser. webcam: a film of JPEG frames that its webcam shows."""
    found = shutil.which("chromium")
    if found is None:
        pytest.fail("no chromium: apt-get install chromium (`.ci/run` does)")
    arguments = ["--no-sandbox"]
    if webcam is not None:
        arguments += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        arguments.append(f"--use-file-for-fake-video-capture={webcam}")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=found, args=arguments) as browser:
        yield browser


def film(photo: Path, path: Path) -> Path:
    """Write a film in which nothing moves, as a webcam sends it; return its path."""
    with PIL.Image.open(photo) as image:
        frame = io.BytesIO()
        image.convert("RGB").resize((640, 640)).crop((0, 80, 640, 560)).save(frame, "JPEG", quality=95)
    path.write_bytes(frame.getvalue() * 30)
    return path


@contextmanager
def page_of(
    browser: Browser, folder: Path, keep_unknown: int | None = None, refused: int = 0, **context: object
) -> Iterator[Page]:
    """A page of a new gallery's server. Nothing may be written to its console as an error, and nothing may fail.

    refused: how many requests are refused (422), as the console notes. context: as Playwright's `new_context` takes it.
    """
    said: list[str] = []
    with serving(Service.open(folder, keep_unknown=keep_unknown)) as client:
        address = str(client.base_url.copy_with(path="/"))
        opened = browser.new_context(base_url=address, **context)  # type: ignore[arg-type]
        opened.set_default_timeout(20_000)
        page = opened.new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if not _is_own(request.url, address) else None)
        try:
            yield page
        finally:
            opened.close()
    others = [text for text in said if "status of 422" not in text]
    assert (len(said) - len(others), others) == (refused, [])


def findings(page: Page) -> list[str]:
    """What axe-core finds wrong with the page, a line each."""
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("() => axe.run()")["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


def _is_own(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:"))
