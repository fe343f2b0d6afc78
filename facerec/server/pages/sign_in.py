"""Signing in with a key, where the server has keys, and out."""

from fastapi import APIRouter, Request, Response

from facerec.server.access import Reader
from facerec.server.pages.view import PageRoute, Viewing, go_to, respond
from facerec.server.problems import ProblemError
from facerec.server.sessions import COOKIE, give_cookie

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/sign-in")
async def show(request: Request) -> Response:
    """The form for a key."""
    return respond(request, None, "sign_in.html", said="")


@router.post("/sign-in")
async def sign_in(request: Request, view: Viewing) -> Response:
    """Begin a session for whoever has a key. The key itself is not kept."""
    access = request.app.state.access
    try:
        form = await request.form(max_files=0, max_fields=2, max_part_size=1000)  # of somebody who is not known yet
        key = access.key_of(str(form.get("key", "")).strip())
    except ProblemError:
        return respond(request, None, "sign_in.html", status=401, said=view.t("sign_in.wrong"))
    answer = go_to(request, "/")
    give_cookie(request, answer, access.sessions.begin(None if access.keys is None else key))
    return answer


@router.post("/sign-out")
async def sign_out(request: Request, caller: Reader) -> Response:
    """End the session."""
    if caller.session is not None:
        request.app.state.access.sessions.end(caller.session)
    answer = go_to(request, "/sign-in")
    answer.delete_cookie(COOKIE)
    return answer
