"""What each threshold costs, computed once for each state of the gallery."""

from threading import Lock

from facerec.evaluation.operating_points import Distances, Point, operating_points
from facerec.gallery.everybody import everybody
from facerec.gallery.gallery import Gallery
from facerec.recognition.identify import State, state_of

RATES = (0.0001, 0.0003, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""The rates of strangers that people can choose from."""

Found = tuple[Distances, tuple[Point, ...]]


class Costs:
    """The operating points of a gallery. Several threads may use it; one computes, the others wait."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery, self._lock = gallery, Lock()
        self._known: tuple[State, tuple[float, ...], Found] | None = None

    def at(self, rates: tuple[float, ...]) -> Found | None:
        """The points for some rates of strangers; None where nobody is enrolled or no strangers are known."""
        with self._lock:
            state = state_of(self._gallery)
            if self._known is None or self._known[:2] != (state, rates):
                if not len(self._gallery):
                    return None
                self._known = (state, rates, operating_points(everybody(self._gallery.store), rates))
            found = self._known[2]
        return found if found[1] else None

    def thresholds_at(self, rates: tuple[float, float]) -> tuple[float, float]:
        """The thresholds for two rates, which may be 0."""
        made = [self._gallery.calibration(min(max(rate, 1e-6), 0.5)) for rate in rates]
        low, high = (0.0 if each is None else each.distance for each in made)
        return low, high
