"""facerec: learns a face embedding by transfer learning, recognises the people it was shown, and refuses the rest.

    import facerec

    with facerec.Recogniser("club", create=True) as club:
        club.enroll("people/")
        for face in club.identify("party.jpg"):
            print(face.person or "unknown", face.distance, face.reason)
    facerec.train("people/", "models/mine", strategy="partial")
    vectors = facerec.load("models/mine").embed(["a.jpg", "b.jpg"])

A name is imported when it is first used, so that `import facerec` needs neither torch nor anything else heavy. Whatever
is not listed here is imported from its package, as in `from facerec.gallery.gallery import Gallery`.
"""

import importlib as _importlib  # with underscores: so an editor that reads this file offers the public names only
import typing as _typing

if _typing.TYPE_CHECKING:
    from facerec.decision.decide import Verification as Verification
    from facerec.errors import FacerecError as FacerecError
    from facerec.errors import NoFaceError as NoFaceError
    from facerec.faces.settings import DetectorSettings as DetectorSettings
    from facerec.features.transformer import StageFeatures as StageFeatures
    from facerec.inference.face_model import FaceModel as FaceModel
    from facerec.inference.face_model import load as load
    from facerec.photos.memory import read_image as read_image
    from facerec.recognition.enroll import Enrollment as Enrollment
    from facerec.recognition.identify import Identification as Identification
    from facerec.recognition.recogniser import EnrollmentSummary as EnrollmentSummary
    from facerec.recognition.recogniser import Recogniser as Recogniser
    from facerec.training.fit import train as train
    from facerec.training.settings import TrainSettings as TrainSettings
    from facerec.types import Face as Face

_HOMES = {
    "DetectorSettings": "faces.settings",
    "Enrollment": "recognition.enroll",
    "EnrollmentSummary": "recognition.recogniser",
    "Face": "types",
    "FaceModel": "inference.face_model",
    "FacerecError": "errors",
    "Identification": "recognition.identify",
    "NoFaceError": "errors",
    "Recogniser": "recognition.recogniser",
    "StageFeatures": "features.transformer",
    "TrainSettings": "training.settings",
    "Verification": "decision.decide",
    "load": "inference.face_model",
    "read_image": "photos.memory",
    "train": "training.fit",
}

__all__ = [
    "DetectorSettings",
    "Enrollment",
    "EnrollmentSummary",
    "Face",
    "FaceModel",
    "FacerecError",
    "Identification",
    "NoFaceError",
    "Recogniser",
    "StageFeatures",
    "TrainSettings",
    "Verification",
    "load",
    "read_image",
    "train",
]


def __getattr__(name: str) -> _typing.Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'facerec' has no attribute '{name}'")
    extras = _importlib.import_module("facerec.extras")
    with extras.named(f"facerec.{name}"):
        return getattr(_importlib.import_module(f"facerec.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
