"""facerec: learns a face embedding by transfer learning, recognises the people it was shown, and refuses the rest.

    import facerec
    embedder, detector = facerec.load_embedder(), facerec.MTCNNDetector()
    with facerec.open_gallery(folder, embedder, create=True) as gallery:
        list(facerec.enrol(gallery, {"Ann Lee": [photo]}, detector, embedder))
        facerec.identify(gallery, [other], detector, embedder, gallery.threshold)

Names are imported when first used, so that `import facerec` needs neither torch nor anything else heavy. What is named
as its module (`facerec.training.train.train`, `facerec.decision.decide.decide`) is imported from there.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facerec.datasets.prepare import align_folder as align_folder
    from facerec.decision.decide import Verification as Verification
    from facerec.errors import FacerecError as FacerecError
    from facerec.faces.detector import AlignedDetector as AlignedDetector
    from facerec.faces.detector import Detector as Detector
    from facerec.faces.mtcnn import MTCNNDetector as MTCNNDetector
    from facerec.faces.settings import DetectorSettings as DetectorSettings
    from facerec.features.transformer import StageFeatures as StageFeatures
    from facerec.gallery.gallery import Gallery as Gallery
    from facerec.inference.embedder import Embedder as Embedder
    from facerec.inference.loading import load_classifier as load_classifier
    from facerec.inference.loading import load_embedder as load_embedder
    from facerec.inference.pipeline import classify as classify
    from facerec.inference.pipeline import embed_photos as embed_photos
    from facerec.inference.torch_runtime import Classifier as Classifier
    from facerec.photos.folders import identity_folders as identity_folders
    from facerec.photos.reading import read_image as read_image
    from facerec.recognition.enroll import enrol as enrol
    from facerec.recognition.identify import identify as identify
    from facerec.recognition.identify import open_gallery as open_gallery
    from facerec.recognition.identify import verify as verify
    from facerec.training.settings import TrainSettings as TrainSettings
    from facerec.types import Candidate as Candidate
    from facerec.types import Decision as Decision
    from facerec.types import Face as Face
    from facerec.types import Photo as Photo
    from facerec.types import Template as Template
    from facerec.types import Threshold as Threshold

_HOMES = {
    "AlignedDetector": "faces.detector",
    "Candidate": "types",
    "Classifier": "inference.torch_runtime",
    "Decision": "types",
    "Detector": "faces.detector",
    "DetectorSettings": "faces.settings",
    "Embedder": "inference.embedder",
    "Face": "types",
    "FacerecError": "errors",
    "Gallery": "gallery.gallery",
    "MTCNNDetector": "faces.mtcnn",
    "Photo": "types",
    "StageFeatures": "features.transformer",
    "Template": "types",
    "Threshold": "types",
    "TrainSettings": "training.settings",
    "Verification": "decision.decide",
    "align_folder": "datasets.prepare",
    "classify": "inference.pipeline",
    "embed_photos": "inference.pipeline",
    "enrol": "recognition.enroll",
    "identify": "recognition.identify",
    "identity_folders": "photos.folders",
    "load_classifier": "inference.loading",
    "load_embedder": "inference.loading",
    "open_gallery": "recognition.identify",
    "read_image": "photos.reading",
    "verify": "recognition.identify",
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
