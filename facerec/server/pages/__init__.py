"""The page: what people see in a browser, around the same `Service` as the API."""

from fastapi import FastAPI

from facerec.server.service import Service


def add_pages(app: FastAPI, service: Service) -> None:
    """Add the page's routes, templates and static files to the app."""
