"""HTML reports, parsed as a browser would."""

import base64
from html.parser import HTMLParser
from pathlib import Path


class Tags(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def images(self, kind: str) -> list[bytes]:
        """Return the bytes of all embedded images of a kind, such as "jpeg"."""
        sources = [attrs["src"] or "" for tag, attrs in self.tags if tag == "img"]
        return [base64.b64decode(s.split(",")[1]) for s in sources if s.startswith(f"data:image/{kind};base64,")]


def loads_nothing(page: Tags) -> None:
    """Assert that a page has no script, link, outside picture or event handler."""
    assert {tag for tag, _ in page.tags}.isdisjoint(
        {"script", "link", "iframe", "object", "embed", "a", "form", "base"}
    )
    for tag, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs)
        if tag == "img":
            assert (attrs["src"] or "").startswith("data:image/")
    policy = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def read(folder: Path) -> Tags:
    page = Tags((folder / "report.html").read_text("utf-8"))
    loads_nothing(page)
    return page
