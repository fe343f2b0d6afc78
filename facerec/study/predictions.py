"""What was predicted before anything was trained: by `facerec advise`, and by the lectures' table alone."""

from facerec.datasets.photo_sets import PhotoSet
from facerec.errors import DataError
from facerec.models.network import METRIC, Network
from facerec.study.results import Prediction
from facerec.training.advise import MUCH, advise


def by_advice(photos: PhotoSet, backbone: str, mode: str, input_size: int) -> Prediction | None:
    """What `facerec advise` says of the training photos for this backbone; None where they are too few to ask it."""
    network = Network(backbone, 2, mode=mode, input_size=input_size, pretrained=True).eval()
    try:
        advice, _ = advise(photos, network, faces=mode == METRIC)
    except DataError:
        return None
    return Prediction("advise", backbone, advice.strategy, advice.kept_stages, advice.reason)


def by_lectures(photos: int, mode: str) -> Prediction:
    """The answer of the lectures' table (CS231n) for so many training photos, without a look at one.

    ImageNet's classes are things and animals, so pictures of classes are taken to be like its photos, and faces not.
    """
    much, alike = photos >= MUCH, mode != METRIC
    strategy, way = {
        (False, True): ("frozen", "train the new head alone"),
        (False, False): ("frozen", "train a linear classifier on features of an earlier stage"),
        (True, True): ("partial", "fine-tune the later stages"),
        (True, False): ("full", "fine-tune the whole network"),
    }[much, alike]
    given = f"{'much' if much else 'little'} data, {'like' if alike else 'unlike'} ImageNet's"
    return Prediction("lectures", "", strategy, 0, f"{given}: {way}")
