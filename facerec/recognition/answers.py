"""Answers as JSON, one object each: what the command line prints with `--json`, and what the server sends."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from facerec.errors import NoFaceError

if TYPE_CHECKING:  # slow to import, and a mistyped path is answered without
    from facerec.decision.calibration import Calibration
    from facerec.decision.decide import Verification
    from facerec.recognition.enroll import Enrollment
    from facerec.recognition.identify import Identification
    from facerec.recognition.not_same import NotSame
    from facerec.recognition.review import Review
    from facerec.types import Face, Threshold

Json = dict[str, Any]


def identified(result: "Identification", threshold: "Threshold", top: int) -> Json:
    """One face of a photo and who it is, or a photo without a face. top: how many candidates are listed at most.

    Of a video, one face that is followed, with `seconds`: from when to when it was seen. Its decision may be null.
    threshold: where there is no decision, which has its own.
    """
    face, decision = result.face, result.decision
    threshold = threshold if decision is None else decision.threshold
    kind = "no_face" if isinstance(result.error, NoFaceError) else "error"
    line = unanswered(result.path, kind if result.error else None, result.reason, threshold)
    line["quality"] = None if result.quality is None else result.quality.to_json()
    if result.seconds is not None:
        line["seconds"] = [round(each, 3) for each in result.seconds]
    if face is not None:
        line |= {"face": result.position, **_where(face), "detection_confidence": round(face.confidence, 4)}
    if decision is not None:
        line |= {"person": decision.person}
        line |= {"decision": "match" if decision.person is not None else "unknown", "distance": decision.distance}
        line |= {"margin": decision.margin, "reason": decision.reason, "probability": decision.probability}
        line["candidates"] = [{"person": c.person, "distance": c.distance} for c in decision.candidates[:top]]
    return line | remarks(result.remarks)


def unanswered(photo: Path, decision: str | None, reason: str, threshold: "Threshold | None") -> Json:
    """A photo without a usable face: null where there is no value. decision: "no_face" or "error"."""
    line: Json = {"image": str(photo), "face": None, "box": None, "detection_confidence": None}
    line |= {"decision": decision, "person": None, "distance": None}
    line |= {"threshold": threshold and threshold.distance, "threshold_source": threshold and threshold.source}
    return line | {"margin": None, "candidates": [], "reason": reason, "probability": None, "quality": None}


def verified(photo_a: Path, photo_b: Path, answer: "Verification") -> Json:
    """Whether the main faces of two photos are one person's."""
    line = {"image_a": str(photo_a), "image_b": str(photo_b), "same": answer.same, "distance": answer.distance}
    line |= {"threshold": answer.threshold.distance, "reason": answer.reason}
    return line | remarks(answer.remarks)


def enrolled(result: "Enrollment") -> Json:
    """What became of one photo."""
    quality = None if result.quality is None else result.quality.to_json()
    line = not_tried(result.path, result.person, result.status, result.reason)
    return line | {"quality": quality} | remarks(result.remarks)


def not_tried(photo: Path, person: str | None, status: str, reason: str) -> Json:
    """What became of a photo that nothing looked at."""
    return {"image": str(photo), "person": person, "status": status, "reason": reason, "quality": None}


def reviewed(found: "Review") -> Json:
    """What a look back at an enrollment suggests."""
    alike = [{"people": [pair.person, pair.other], "distance": pair.distance} for pair in found.alike]
    return {"alike": alike, "misplaced": [{"image": str(path), "reason": reason} for path, reason in found.misplaced]}


def said_not_same(found: "NotSame") -> Json:
    """What is remembered of a face that is not a person, and who it is now."""
    now = found.decision.person
    line: Json = {"image": str(found.path), "face": found.position, **_where(found.face)}
    line |= {"not": found.person, "added": found.added, "decision": "unknown" if now is None else "match"}
    return line | {"person": now, "reason": found.decision.reason, "until": found.until}


def calibrated(found: "Calibration") -> Json:
    """The threshold, the strangers who set it, and the 95 % interval of the rate."""
    threshold = found.threshold
    line = {"threshold": threshold.distance, "threshold_source": threshold.source, "fpir": found.fpir}
    line |= {"people": found.people, "strangers": found.strangers, "within": found.within}
    return line | {"ci95": {"fpir": list(found.interval)}}


def remarks(said: tuple[str, ...]) -> Json:
    """The part of an answer that holds a photo's remarks; empty if there are none."""
    return {"remarks": list(said)} if said else {}


def _where(face: "Face") -> Json:
    return {"box": [round(side, 1) for side in face.box]}
