"""Make the picture of the page in README.md: the sample gallery enrolled, and two photos answered.

    .venv/bin/python -m scripts.page_picture gallery/page.jpg

Needs the extra `dev` and Debian's Chromium. Everything runs on this machine.
"""

import io
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import PIL.Image
from playwright.sync_api import sync_playwright

from facerec.photos.folders import identity_folders
from facerec.server.app import make_app
from facerec.server.running import listening, server_of
from facerec.server.service import Service
from facerec.server.settings import ServerSettings

SAMPLES = Path(__file__).resolve().parents[1] / "gallery"
ANSWERED = ("strangers/eileen_collins_astronaut.jpg", "held_back/barack_obama_blue_room_2010.jpg")  # the last is on top
VIEW, SHOWN, QUALITY = {"width": 1120, "height": 860}, (896, 688), 75  # pixels of the browser, and of the picture


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A server of the sample gallery, in a thread; its address."""
    settings = ServerSettings(port=0)
    with Service.open(folder) as service, listening(settings) as bound:
        for name, photos in identity_folders(SAMPLES / "people").items():
            service.enroll(name, list(photos))
        server = server_of(make_app(service, settings))
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def picture(address: str) -> bytes:
    """What a browser shows once the photos are answered, as a PNG file."""
    found = shutil.which("chromium")
    if found is None:
        sys.exit("no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport=VIEW)  # type: ignore[arg-type]
        page.goto(address)
        page.locator("#photos").set_input_files([SAMPLES / name for name in ANSWERED])
        page.locator("article.photo").nth(len(ANSWERED) - 1).wait_for()
        page.evaluate("window.scrollTo(0, 0)")
        return page.screenshot()


def main(path: Path) -> None:
    """Write the picture as a JPEG file."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder) / "gallery") as address:
        shot = PIL.Image.open(io.BytesIO(picture(address))).convert("RGB")
    shot.resize(SHOWN, PIL.Image.Resampling.LANCZOS).save(
        path, "JPEG", quality=QUALITY, optimize=True, progressive=True
    )
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
