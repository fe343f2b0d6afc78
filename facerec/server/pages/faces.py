"""Faces on their way to the browser and back: a form carries a face, so that the server need not keep the photo.

The face is signed, with a key of this process. So nobody can make up a crop, a box or a quality.
"""

import base64
import hmac
import json
import secrets

import numpy as np

from facerec.errors import ImageError
from facerec.inference.embedder import Embedder
from facerec.photos.crops import decode_png, encode_png
from facerec.recognition.seen_face import SeenFace
from facerec.server.problems import ProblemError
from facerec.types import Face


class FaceForms:
    """Writes faces into forms, and reads them back. stale: what is said of a form that another process wrote."""

    def __init__(self, embedder: Embedder, stale: str) -> None:
        self._embedder, self._stale, self._key = embedder, stale, secrets.token_bytes(32)

    def write(self, seen: SeenFace) -> str:
        """The value of a form's field."""
        face = seen.face
        content = {
            "photo": seen.photo,
            "source": seen.source,
            "alone": seen.alone,
            "box": [float(side) for side in face.box],
            "landmarks": face.landmarks.tolist(),
            "confidence": float(face.confidence),
            "crop": base64.b64encode(encode_png(face.crop)).decode(),
        }
        text = json.dumps(content, separators=(",", ":"))
        return f"{self._signature(text)}{text}"

    def read(self, value: str) -> SeenFace:
        """The face, embedded anew; ProblemError for a form that this process did not write."""
        signature, text = value[:64], value[64:]
        if not hmac.compare_digest(signature.encode(), self._signature(text).encode()):
            raise ProblemError(409, "stale", self._stale)
        content = json.loads(text)
        try:
            crop = decode_png(base64.b64decode(content["crop"]))
        except ImageError as error:  # cannot be: it is what `write` wrote
            raise ProblemError(409, "stale", self._stale) from error
        landmarks = np.array(content["landmarks"], np.float32)
        vector = self._embedder.embed(crop[None])[0]
        face = Face(crop, tuple(content["box"]), landmarks, content["confidence"], vector)
        return SeenFace(content["photo"], content["source"], content["alone"], face)

    def _signature(self, text: str) -> str:
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256").hex()
