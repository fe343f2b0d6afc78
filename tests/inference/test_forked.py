"""A process forked from one that has loaded a network gets an answer or an error; it never hangs."""

import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facerec.errors import ConfigError
from facerec.faces.mtcnn import MTCNNDetector
from facerec.inference.loading import load_embedder

SAID_TO_SPAWN = 7


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_a_forked_process_says_to_spawn(toy: Path, tiny_model: Path) -> None:
    """For networks that were only loaded, too: the first call in the child was the one that hung."""
    crops, photo = np.full((2, 112, 112, 3), 9, np.uint8), np.full((200, 200, 3), 99, np.uint8)
    embedders = [load_embedder(str(model)) for model in (toy, tiny_model)]
    uses: list[Callable[[], object]] = [
        *(lambda embedder=embedder: embedder.embed(crops) for embedder in embedders),
        lambda: MTCNNDetector().detect([photo]),
        lambda: load_embedder(str(toy)),
        lambda: load_embedder(str(tiny_model)),
    ]
    assert [_in_a_child(use) for use in uses] == [SAID_TO_SPAWN] * 5
    for use in uses:
        use()  # here all is as it was


def _in_a_child(use: Callable[[], object]) -> int | None:
    """The exit code of a forked process that made a call; a negative one if it did not end by itself."""

    def work() -> None:
        try:
            use()
        except ConfigError as error:
            sys.exit(SAID_TO_SPAWN if "get_context('spawn')" in str(error) else 1)

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(20)
    child.kill()
    child.join()
    return child.exitcode
