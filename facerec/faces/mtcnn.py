"""MTCNN: the cascade of its networks as a detector."""

from facerec.faces.cascade import cascade
from facerec.faces.looking import LookingDetector
from facerec.faces.settings import DetectorSettings


class MTCNNDetector(LookingDetector):
    """MTCNN, the detector that is used unless another is given."""

    name = "mtcnn"

    def __init__(self, settings: DetectorSettings = DetectorSettings(), crop_size: int = 112) -> None:
        super().__init__(cascade, settings, crop_size)
