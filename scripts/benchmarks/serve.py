"""Measures identifying through `facerec serve` beside the library's own call and `facerec identify` for each photo.

    scripts/bench serve [--photos N] [--rounds N] [--json]
    scripts/bench serve --load [--clients N] [--seconds N] [--json]

It needs no data besides the checkout: photos are varied copies of the sample gallery's, in a gallery of its people. The
sides take turns: the library's call, photo by photo, in a process that is warm; a server, asked by one client and by
several at once; a `facerec identify` for each photo. The answers of all must be the same.

--load: clients ask the server without a pause; what counts is how many requests it answers, how long they take, that
there is no error but 503, and that its memory does not grow after the first tenth of the time (LIMIT_MB).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.benchmarks.common import ROOT, add_rounds, in_own_process, median_and_range, say, take_turns, text_table

LIMIT_MB = 50
COMMANDS = 4  # photos that the command line is asked for in a round
Answers = dict[str, tuple[str | None, float]]  # photo -> person and distance


class Timed:
    """How long each of many calls took, how long all of them, and their answers."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.answers: Answers = {}
        self.elapsed = 0.0

    def of(self, ask: Callable[[Path], list[dict[str, Any]]], photos: Sequence[Path], clients: int = 1) -> "Timed":
        """Ask about every photo, `clients` at a time."""
        began = time.perf_counter()
        with ThreadPoolExecutor(clients) as threads:
            list(threads.map(lambda photo: self._one(ask, photo), photos))
        self.elapsed = time.perf_counter() - began
        return self

    def _one(self, ask: Callable[[Path], list[dict[str, Any]]], photo: Path) -> None:
        began = time.perf_counter()
        main = ask(photo)[0]
        self.seconds.append(time.perf_counter() - began)
        self.answers[photo.name] = (main["person"], round(main["distance"], 3))

    @property
    def photos_per_second(self) -> float:
        """Photos answered in a second."""
        return len(self.seconds) / self.elapsed

    @property
    def p50_ms(self) -> float:
        """The median time of an answer."""
        return 1000 * statistics.median(self.seconds)


# ------------------------------------------------------------------------------------------ sides


def library(gallery: Path, photos: Sequence[Path]) -> Timed:
    """Ask the library in this process, once it is warm."""
    import facerec

    with facerec.Recogniser(gallery) as club:

        def ask(photo: Path) -> list[dict[str, Any]]:
            return [{"person": face.person, "distance": face.distance} for face in club.identify(photo)]

        ask(photos[0])
        return Timed().of(ask, photos)


def command_line(gallery: Path, photos: Sequence[Path]) -> Timed:
    """Start `facerec identify` for each photo."""

    def ask(photo: Path) -> list[dict[str, Any]]:
        words = ["identify", str(photo), "--gallery", str(gallery), "--json"]
        done = subprocess.run([*_FACEREC, *words], cwd=ROOT, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return Timed().of(ask, photos)


_FACEREC = [sys.executable, "-m", "facerec.cli.main"]


class Server:
    """A running `facerec serve`, and clients of it."""

    def __init__(self, address: str, process: int) -> None:
        import httpx

        self.process = process
        self.client = httpx.Client(base_url=f"{address}api/v1", timeout=120)

    def ask(self, photo: Path) -> list[dict[str, Any]]:
        """Identify a photo."""
        return self.send(photo).raise_for_status().json()["answers"]

    def send(self, photo: Path) -> Any:
        """Ask the server about a photo; the response."""
        return self.client.post("/identify", content=photo.read_bytes(), headers={"Content-Type": "image/jpeg"})

    def resident_mb(self) -> int:
        """The memory of the server that is in RAM (Linux only)."""
        lines = Path(f"/proc/{self.process}/status").read_text("utf-8").splitlines()
        return next(int(words.split()[1]) for words in lines if words.startswith("VmRSS:")) // 1024


@contextmanager
def serving(gallery: Path) -> Iterator[Server]:
    """A server of the gallery, which ends with the block."""
    words = [*_FACEREC, "serve", "--gallery", str(gallery), "--port", "0", "--json"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        server = Server(json.loads(process.stdout.readline())["address"], process.pid)
        try:
            yield server
        finally:
            server.client.close()
            process.terminate()


# ------------------------------------------------------------------------------------------ load


def load(server: Server, photos: Sequence[Path], clients: int, seconds: float) -> dict[str, Any]:
    """Let clients ask without a pause, and watch the server's memory."""
    until, statuses, times = time.monotonic() + seconds, Counter[int](), list[float]()
    memory: list[int] = []

    def keep_asking(number: int) -> None:
        while time.monotonic() < until:
            began = time.perf_counter()
            status = server.send(photos[number % len(photos)]).status_code
            times.append(time.perf_counter() - began)
            statuses[status] += 1
            number += clients

    threads = [threading.Thread(target=keep_asking, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        memory.append(server.resident_mb())
        time.sleep(max(seconds / 60, 0.1))
    settled = memory[len(memory) // 10 :]
    grown = statistics.median(settled[-5:]) - statistics.median(settled[:5])
    cuts = statistics.quantiles(times, n=100)
    return {
        "clients": clients,
        "seconds": seconds,
        "requests_per_second": statuses[200] / seconds,
        "p50_ms": 1000 * cuts[49],
        "p99_ms": 1000 * cuts[98],
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "memory_mb": [settled[0], max(settled), settled[-1]],
        "grown_mb": grown,
        "holds": set(statuses) <= {200, 503} and grown <= LIMIT_MB,
    }


# ------------------------------------------------------------------------------------------ the bench


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this bench."""
    add_rounds(parser, 5)
    parser.add_argument("--photos", type=int, default=24, help="photos that are asked about (default %(default)s)")
    parser.add_argument("--load", action="store_true", help="ask the server without a pause, and watch its memory")
    parser.add_argument("--clients", type=int, default=8, help="at the same time (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="how long they ask (default %(default)s)")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all sides, in turns, or the server under load."""
    with tempfile.TemporaryDirectory() as name:
        gallery, photos = Path(name) / "gallery", in_own_process(ready, Path(name), options.photos)
        if options.load:
            with serving(gallery) as server:
                server.ask(photos[0])
                say(f"{options.clients} clients for {options.seconds:g} s")
                return load(server, photos, options.clients, options.seconds)
        return measure(gallery, photos, options.clients, options.rounds)


def ready(folder: Path, count: int) -> list[Path]:
    """Make the gallery of the sample people, and the photos."""
    import facerec
    from scripts.benchmarks.enroll import make_photos

    with facerec.Recogniser(folder / "gallery", create=True) as club:
        club.enroll(ROOT / "gallery" / "people")
    (folder / "photos").mkdir()
    make_photos(folder / "photos", count)
    return sorted((folder / "photos").iterdir())


def measure(gallery: Path, photos: Sequence[Path], clients: int, rounds: int) -> dict[str, Any]:
    """Return the figures of all sides."""
    with serving(gallery) as server:
        server.ask(photos[0])
        found = take_turns(
            {
                "library": lambda number: in_own_process(library, gallery, photos),
                "server": lambda number: Timed().of(server.ask, photos),
                f"server, {clients} clients": lambda number: Timed().of(server.ask, photos, clients),
                "command": lambda number: command_line(gallery, photos[:COMMANDS]),
            },
            rounds,
        )
    runs = [timed for side in found.values() for timed in side]
    return {
        "photos": len(photos),
        "clients": clients,
        "photos_per_second": {name: [each.photos_per_second for each in side] for name, side in found.items()},
        "p50_ms": {name: [each.p50_ms for each in side] for name, side in found.items()},
        "same_answers": all(timed.answers.items() <= runs[0].answers.items() for timed in runs),
    }


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    if "statuses" in figures:
        return load_table(figures)
    names = {"library": "the library's call", "server": "serve, one client", "command": "facerec identify, each"}
    rows = [
        (names.get(name, name), median_and_range(figures["photos_per_second"][name], 1), median_and_range(times, 0))
        for name, times in figures["p50_ms"].items()
    ]
    return text_table(("identify", "photos/s", "p50, ms"), rows)


def load_table(found: dict[str, Any]) -> str:
    """The figures of the load as text."""
    statuses = ", ".join(f"{count} of {status}" for status, count in found["statuses"].items())
    memory = "{} at first, {} at most, {} at the end".format(*found["memory_mb"])
    rows = [
        ("requests/s", f"{found['requests_per_second']:.1f}"),
        ("p50, ms", f"{found['p50_ms']:.0f}"),
        ("p99, ms", f"{found['p99_ms']:.0f}"),
        ("answers by status", statuses),
        ("memory, MB", memory),
        ("no other error, and memory flat", "yes" if found["holds"] else "NO"),
    ]
    return text_table((f"{found['clients']} clients for {found['seconds']:g} s", ""), rows)
