"""What the routers share."""

from typing import Annotated, Any

from fastapi import Depends, Path, Request

from facerec.gallery.queries import PersonSummary
from facerec.server.service import Service

PersonId = Annotated[int, Path(ge=1, le=2**62, description="The person's id")]
PhotoId = Annotated[int, Path(ge=1, le=2**62, description="The photo's id")]
FaceId = Annotated[int, Path(ge=1, le=2**62, description="The kept face's id")]
_FILE = {"type": "string", "format": "binary"}


def service_of(request: Request) -> Service:
    """A dependency: what the server does."""
    return request.app.state.service


Serving = Annotated[Service, Depends(service_of)]


def photos_body(**fields: Any) -> dict[str, Any]:
    """The body of a request with photos, for OpenAPI. fields: other fields of its form and their schemas."""
    properties = {"photos": {"type": "array", "items": _FILE, "minItems": 1}, **fields}
    form = {"schema": {"type": "object", "required": ["photos"], "properties": properties}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": form, "image/*": {"schema": _FILE}}}}


def person_json(person: PersonSummary) -> dict[str, Any]:
    """Somebody enrolled."""
    line = {"id": person.number, "name": person.name, "photos": person.templates, "enrolled": person.enrolled}
    return line | {"consent": person.consent, "until": person.until}
