"""facerec: learns a face embedding by transfer learning, recognises the people it was shown, and refuses the rest.

    import facerec
    embedder, detector = facerec.load_embedder(), facerec.MTCNNDetector()
    with facerec.open_gallery(folder, embedder, create=True) as gallery:
        list(facerec.enrol(gallery, {"Ann Lee": [photo]}, detector, embedder))
        facerec.identify(gallery, [other], detector, embedder, gallery.threshold)

Names are imported when first used, so that `import facerec` needs neither torch nor anything else heavy. What is named
as its module (`facerec.train.train`, `facerec.decide.decide`) is imported from there.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facerec.config import DetectorSettings as DetectorSettings
    from facerec.config import TrainSettings as TrainSettings
    from facerec.data import align_folder as align_folder
    from facerec.decide import Verification as Verification
    from facerec.detect import AlignedDetector as AlignedDetector
    from facerec.detect import Detector as Detector
    from facerec.detect import MTCNNDetector as MTCNNDetector
    from facerec.embed import Classifier as Classifier
    from facerec.embed import Embedder as Embedder
    from facerec.embed import load_classifier as load_classifier
    from facerec.embed import load_embedder as load_embedder
    from facerec.errors import FacerecError as FacerecError
    from facerec.gallery import Gallery as Gallery
    from facerec.images import identity_folders as identity_folders
    from facerec.images import read_image as read_image
    from facerec.recognise import classify as classify
    from facerec.recognise import embed_photos as embed_photos
    from facerec.recognise import enrol as enrol
    from facerec.recognise import identify as identify
    from facerec.recognise import open_gallery as open_gallery
    from facerec.recognise import verify as verify
    from facerec.transformer import StageFeatures as StageFeatures
    from facerec.types import Candidate as Candidate
    from facerec.types import Decision as Decision
    from facerec.types import Face as Face
    from facerec.types import Photo as Photo
    from facerec.types import Template as Template
    from facerec.types import Threshold as Threshold

_HOMES = {
    "AlignedDetector": "detect",
    "Candidate": "types",
    "Classifier": "embed",
    "Decision": "types",
    "Detector": "detect",
    "DetectorSettings": "config",
    "Embedder": "embed",
    "Face": "types",
    "FacerecError": "errors",
    "Gallery": "gallery",
    "MTCNNDetector": "detect",
    "Photo": "types",
    "StageFeatures": "transformer",
    "Template": "types",
    "Threshold": "types",
    "TrainSettings": "config",
    "Verification": "decide",
    "align_folder": "data",
    "classify": "recognise",
    "embed_photos": "recognise",
    "enrol": "recognise",
    "identify": "recognise",
    "identity_folders": "images",
    "load_classifier": "embed",
    "load_embedder": "embed",
    "open_gallery": "recognise",
    "read_image": "images",
    "verify": "recognise",
}

__all__ = [
    "AlignedDetector",
    "Candidate",
    "Classifier",
    "Decision",
    "Detector",
    "DetectorSettings",
    "Embedder",
    "Face",
    "FacerecError",
    "Gallery",
    "MTCNNDetector",
    "Photo",
    "StageFeatures",
    "Template",
    "Threshold",
    "TrainSettings",
    "Verification",
    "align_folder",
    "classify",
    "embed_photos",
    "enrol",
    "identify",
    "identity_folders",
    "load_classifier",
    "load_embedder",
    "open_gallery",
    "read_image",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'facerec' has no attribute '{name}'")
    return getattr(importlib.import_module(f"facerec.{_HOMES[name]}"), name)
