"""The page: what people see in a browser, around the same `Service` as the API."""

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from facerec.server.pages import gallery, identify, people, review, sign_in
from facerec.server.pages.view import HERE, View, trouble
from facerec.server.service import Service


def add_pages(app: FastAPI, service: Service) -> None:
    """Add the page's routes, templates and static files to the app."""
    app.state.view = View(service, app.state.settings)
    app.state.error_page = trouble
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    for part in (identify, people, review, gallery, sign_in):
        app.include_router(part.router)
