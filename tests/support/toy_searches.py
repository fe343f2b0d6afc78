"""Made-up people to enroll and to search for."""

import numpy as np

from facerec.evaluation.identification import FaceVector

People = dict[str, list[FaceVector]]


def made_up(seed: int, people: int, photos: int, noise: float) -> dict[str, list[np.ndarray]]:
    """Return unit vectors of length 6 around a centre per person. More noise makes more errors."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, 1, 6))
    rows = (centres + noise * rng.normal(size=(people, photos, 6))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    return {f"p{i:02}": list(own) for i, own in enumerate(rows)}


def split(rows: dict[str, list[np.ndarray]], enrolled: int, photos: int) -> tuple[People, People]:
    """Return (gallery, probes): the first `enrolled` people with their first `photos`; all other photos are probes."""
    gallery: People = {person: list(own[:photos]) for person, own in list(rows.items())[:enrolled]}
    return gallery, {person: list(own[photos if person in gallery else 0 :]) for person, own in rows.items()}
