"""What `GET /metrics` shows, as Prometheus reads it: requests, their time, photos, and how full the server is."""

from collections import Counter

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts since the server began. They belong to the event loop's thread."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: Counter[str] = Counter()
        self.photos = 0

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Take note of an answer. route: the path with its parameters' names, so that there are few."""
        self._requests[method if method in METHODS else "other", route, status] += 1
        self._seconds[route] += seconds  # type: ignore[assignment]  # a Counter of floats

    def text(self, inside: int, bound: int) -> str:
        """The exposition format 0.0.4. inside: the requests that are here now. bound: how many may be."""
        lines = ["# TYPE facerec_requests_total counter"]
        for (method, route, status), count in sorted(self._requests.items()):
            lines.append(f'facerec_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}')
        lines.append("# TYPE facerec_request_seconds_total counter")
        lines += [f'facerec_request_seconds_total{{route="{r}"}} {s:.6f}' for r, s in sorted(self._seconds.items())]
        lines += ["# TYPE facerec_photos_total counter", f"facerec_photos_total {self.photos}"]
        lines += ["# TYPE facerec_requests_inside gauge", f"facerec_requests_inside {inside}"]
        lines += ["# TYPE facerec_requests_bound gauge", f"facerec_requests_bound {bound}"]
        return "\n".join(lines) + "\n"
