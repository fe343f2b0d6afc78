"""The work of many requests at once: how much is let in, in which threads it runs, and what goes through together."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from threading import Lock
from typing import Generic, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from facerec.errors import FacerecError
from facerec.faces.detector import Detector, name_of
from facerec.inference.embedder import Crops, Embedder
from facerec.types import Face, Image, Vectors

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

PHOTOS, CROPS = 4, 16  # that the detector and the embedder are given together, about


class BusyError(FacerecError):
    """More requests are here than the server takes in."""


class Pool:
    """The threads that work for requests, and the bound on how many requests are here.

    Questions run in several threads. Changes run in one, so that they come one after the other: a name is looked up
    and used without another request renaming it in between. All methods belong to the event loop's thread.
    """

    def __init__(self, bound: int, threads: int) -> None:
        """bound: how many requests may be here, at work or waiting. threads: how many questions are worked on."""
        self.bound, self.inside = bound, 0
        self._questions = ThreadPoolExecutor(threads, "facerec-question")
        self._changes = ThreadPoolExecutor(1, "facerec-change")

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Let a request in, before its body is read; BusyError above the bound."""
        if self.inside >= self.bound:
            raise BusyError(f"{self.inside} requests are being answered, the most at a time; try again in a moment")
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def ask(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run what changes nothing."""
        return await asyncio.wrap_future(self._questions.submit(work, *args, **kwargs))

    async def change(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run what changes the gallery, after all changes that were asked for before."""
        return await asyncio.wrap_future(self._changes.submit(work, *args, **kwargs))

    def close(self) -> None:
        """Wait for the work that was begun; what waits is given up."""
        for threads in (self._changes, self._questions):
            threads.shutdown(cancel_futures=True)


class Together(Generic[T, R]):
    """Calls from many threads at once, answered in batches: whoever comes first works for all who wait by then."""

    def __init__(self, work: Callable[[list[T]], Sequence[R]], most: int) -> None:
        """work: items -> as many results. most: how many items a batch has, unless a single call has more."""
        self._work, self._most = work, most
        self._waiting: deque[tuple[Sequence[T], Future[list[R]]]] = deque()
        self._lock = Lock()

    def __call__(self, items: Sequence[T]) -> list[R]:
        """The results for these items. Raises what `work` raises for them."""
        mine: Future[list[R]] = Future()
        self._waiting.append((items, mine))
        with self._lock:
            while not mine.done():
                self._answer(self._batch())
        return mine.result()

    def _batch(self) -> list[tuple[Sequence[T], Future[list[R]]]]:
        """The calls that have waited longest."""
        batch = [self._waiting.popleft()]
        left = self._most - len(batch[0][0])
        while self._waiting and len(self._waiting[0][0]) <= left:
            batch.append(self._waiting.popleft())
            left -= len(batch[-1][0])
        return batch

    def _answer(self, batch: list[tuple[Sequence[T], Future[list[R]]]]) -> None:
        """Work for some calls; if that fails, for each by itself, so that one bad photo spoils no other's answer."""
        try:
            results = iter(self._work([item for items, _ in batch for item in items]))
        except BaseException as error:  # whoever called raises it
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for call in batch:
                self._answer([call])
            return
        for items, answer in batch:
            answer.set_result(list(islice(results, len(items))))


class SharedDetector:
    """A detector that many threads use: their photos go through it together."""

    def __init__(self, detector: Detector) -> None:
        self.name = name_of(detector)
        self._together: Together[Image, list[Face]] = Together(detector.detect, PHOTOS)

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        """See `Detector`."""
        return self._together(images)


class SharedEmbedder:
    """An embedder that many threads use: their crops go through it together."""

    def __init__(self, embedder: Embedder) -> None:
        self.card, self.path = embedder.card, embedder.path
        self._together: Together[Image, NDArray[np.float32]] = Together(
            lambda crops: list(embedder.embed(np.stack(crops))), CROPS
        )

    def embed(self, crops: Crops) -> Vectors:
        """See `Embedder`."""
        nothing = np.zeros((0, self.card.embedding_dim), np.float32)
        return np.stack(self._together(list(crops))) if len(crops) else nothing
