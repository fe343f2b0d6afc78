"""What every page needs: templates, texts, who asks, and a session whose token its forms carry."""

import json
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from facerec.errors import FacerecError
from facerec.gallery import unknown_faces
from facerec.server.access import LOCAL, Caller
from facerec.server.pages.faces import FaceForms
from facerec.server.pages.texts import Texts
from facerec.server.problems import Problem, without_folder
from facerec.server.service import Service
from facerec.server.sessions import give_cookie
from facerec.server.settings import ServerSettings

HERE = Path(__file__).parent
MENU = (
    ("identify", "/"),
    ("people", "/people"),
    ("review", "/review"),
    ("threshold", "/threshold"),
    ("log", "/log"),
    ("about", "/about"),
)
_HTMX = {  # no style of its own, no eval, and what is refused is shown, too
    "includeIndicatorStyles": False,
    "allowEval": False,
    "selfRequestsOnly": True,
    "historyCacheSize": 0,
    "responseHandling": [{"code": "204", "swap": False}, {"code": "...", "swap": True}],
}
# " (`command` ...)", "; `command` ..." and ", or `argument` ...", each up to the next semicolon
_ADVICE = re.compile(r" \([^()`]*`[^`]*`[^()]*\)|(?:;|, or) (?:(?!, or )[^;`])*`[^`]*`[^;]*")
NAMES = 1000  # the most names a browser is given to choose from


class View:
    """Renders the pages of one server.

    t: its texts. faces: faces on their way to the browser and back.
    """

    def __init__(self, service: Service, settings: ServerSettings) -> None:
        self.t = Texts(HERE / "texts.toml")
        self.service = service
        self.faces = FaceForms(service.embedder, self.t("too_old"))
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=select_autoescape(("html",)),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        everywhere = {"t": self.t, "menu": MENU, "htmx_config": json.dumps(_HTMX), "initials": initials}
        too_much = self.t("too_much", photos=settings.photos, megabytes=f"{settings.body_bytes / 1e6:g}")
        self._templates.globals.update(
            everywhere, most_bytes=settings.body_bytes, most_photos=settings.photos, too_much=too_much
        )
        self._templates.globals.update(
            keep_unknown=service.keep_unknown, percent=percent, size=size, exact_percent=exact_percent
        )

    def render(self, request: Request, caller: Caller | None, template: str, **values: Any) -> str:
        """A template as HTML."""
        may = {f"may_{scope}": caller is not None and caller.key.may(scope) for scope in ("enroll", "admin")}
        session = caller.session if caller is not None else None
        context = {"caller": caller, "csrf_token": session.csrf if session else "", "here": "", **may, **values}
        if not is_part(request):
            context.setdefault("kept", unknown_faces.how_many_kept(self.service.gallery.store))
        return self._templates.get_template(template).render(context)

    def told(self, error: FacerecError) -> str:
        """What a page says of an error."""
        return plain(without_folder(str(error), self.service.gallery.folder))

    def names(self) -> list[str]:
        """Names to choose from where one is typed."""
        return [person.name for person in self.service.people(most=NAMES)]


def view_of(request: Request) -> View:
    """A dependency: the page of this server."""
    return request.app.state.view


Viewing = Annotated[View, Depends(view_of)]


def is_part(request: Request) -> bool:
    """Whether a script asks for a part of a page."""
    return request.headers.get("HX-Request") == "true"


def respond(
    request: Request, caller: Caller | None, template: str, *, status: int = 200, **values: Any
) -> HTMLResponse:
    """Answer with a page. A browser that needs no key gets a session with its first page."""
    view, session = view_of(request), None
    if caller is not None and caller.session is None and caller.key is LOCAL:
        session = request.app.state.access.sessions.begin(None)
        caller = Caller(LOCAL, session)
    answer = HTMLResponse(view.render(request, caller, template, **values), status)
    if session is not None:
        give_cookie(request, answer, session)
    return answer


def go_to(request: Request, path: str) -> Response:
    """Send the browser to another page."""
    if is_part(request):
        return Response(headers={"HX-Redirect": path})
    return RedirectResponse(path, 303)


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            request.state.is_page = True
            return await handler(request)

        return handle


def trouble(request: Request, problem: Problem) -> Response:
    """Tell of an error, without a look at the gallery, which may be what is wrong; whoever is not known may sign in."""
    if problem.status == 401:
        return go_to(request, "/sign-in")
    caller = request.app.state.access.in_session(request)
    said = problem.detail if problem.status >= 500 else plain(problem.detail)  # else for whoever runs the server
    template, values = "said.html" if is_part(request) else "trouble.html", {"said": said, "bad": True}
    return respond(request, caller, template, status=problem.status, kept=0, back=came_from(request), **values)


def came_from(request: Request) -> str:
    """The page of this server from which a request came; else the first one."""
    found = urlsplit(request.headers.get("referer", ""))
    own = found.netloc == request.headers.get("host")
    return f"/{found.path.lstrip('/')}{found.query and '?'}{found.query}" if own else "/"


def plain(message: str) -> str:
    """A message without what it advises at a command line, or by an argument: the page has buttons instead."""
    return _ADVICE.sub("", message)


def number_in(text: object) -> int:
    """The number that a form's field holds; 0, which nobody and nothing has, for whatever is none."""
    held = str(text)
    return int(held) if held.isdecimal() and len(held) <= 18 else 0  # SQLite's numbers have 64 bits


def initials(name: str) -> str:
    """The first letters of a name's first and last word."""
    words = name.split()
    return "".join(word[0] for word in ([words[0], words[-1]] if len(words) > 1 else words)).upper()


def size(count: int) -> str:
    """A number of bytes in words: 512 bytes, 48 kB, 1.2 MB."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def exact_percent(share: float) -> str:
    """A share near 1 as a percentage with one decimal: 99.9 %."""
    return f"{100 * share:.1f} %"


def percent(share: float) -> str:
    """A share as a percentage with two significant digits: 0.1 %, 1 %, 12 %."""
    return f"{float(f'{100 * share:.2g}'):g} %"
