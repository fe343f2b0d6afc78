"""A browser without a screen, for tests of the page over HTTP."""

import re
from typing import Any

import httpx
from toy_server import form


class Site:
    """A browser without a screen: it keeps cookies, and sends the token that it was given."""

    def __init__(self, client: Any) -> None:
        self.client, self.root = client, str(client.base_url.copy_with(path="/")).rstrip("/")

    def get(self, path: str, part: bool = False) -> httpx.Response:
        return self.client.get(self.root + path, headers={"HX-Request": "true"} if part else {})

    def post(self, path: str, files: Any = None, part: bool = False, **fields: str) -> httpx.Response:
        data = {"csrf": self.token(), **fields}
        empty = [("none", ("", b"", "text/plain"))]  # makes the form one of several parts
        headers = {"HX-Request": "true"} if part else {}
        return self.client.post(self.root + path, data=data, files=files or empty, headers=headers)

    def token(self) -> str:
        found = re.search('name="csrf" value="([^"]+)"', self.get("/").text)
        return found.group(1) if found else ""


def field(html: str, name: str) -> str:
    """The value of a form's hidden field."""
    found = re.search(f'name="{name}" value="([^"]*)"', html)
    assert found
    return found.group(1).replace("&#34;", '"')


def add(site: Site, name: str, *photos: bytes) -> int:
    """Enroll a person; their number."""
    answer = site.post("/people", form(*photos), name=name)
    assert answer.status_code == 303, answer.text
    return int(answer.headers["location"].rpartition("/")[2])


def face_in(site: Site, photo: bytes) -> str:
    """What a page says of the only face in a photo."""
    answer = site.post("/identify", form(photo), part=True)
    assert answer.status_code == 200
    return answer.text
