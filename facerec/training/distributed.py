"""One run in several processes.

    torchrun --nproc-per-node 2 -m facerec.cli.train crops/ --aligned --output runs/two

Each process takes its share of every batch. The loss is computed over the outputs of all processes and the gradients
are summed, so the result is that of one process with the whole batch. Only BatchNorm in train mode differs: unless
`sync_batch_norm` is set, its statistics come from each process's own share. The running statistics are averaged, so all
processes hold one network. In a single process everything here does nothing.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from facerec.datasets.batches import Batch
from facerec.errors import ConfigError


def join_processes() -> None:
    """Connect to the other processes if torchrun started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(own_device())  # nccl gathers on the current one
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def process_count() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def process_number() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the first process, which writes the files."""
    return process_number() == 0


def own_device() -> torch.device:
    """The GPU of this process, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def own_share(batch: Batch) -> Batch:
    """This process's part of a batch. The parts of all processes, in their order, are the batch."""
    return np.array_split(batch, process_count())[process_number()]


def require_shares(batch: int) -> None:
    """Raise ConfigError if a process would get fewer than two photos of a batch: BatchNorm needs two."""
    if process_count() > 1 and batch < 2 * process_count():
        raise ConfigError(f"batches of {batch} are too small for {process_count()} processes; give a larger batch")


def wait_for_all() -> None:
    """Wait until all processes are here."""
    if process_count() > 1:
        dist.barrier()


def agree(flag: bool) -> bool:
    """Whether the flag is set in any process."""
    return any(gather_objects(flag)) if process_count() > 1 else flag


def gather_objects(value: Any) -> list[Any]:
    """The value of each process, in their order."""
    values = [None] * process_count()
    if process_count() == 1:
        return [value]
    dist.all_gather_object(values, value)
    return values


def gather_rows(rows: Tensor) -> Tensor:
    """(b, ...) rows of this process -> (B, ...) rows of all processes, in their order; b may differ between them.

    Gradients flow to this process's own rows only. `sum_gradients` adds up the processes' gradients.
    """
    if process_count() == 1:
        return rows
    counts = gather_objects(len(rows))
    padded = rows.new_zeros((max(counts), *rows.shape[1:]))
    padded[: len(rows)] = rows.detach()
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    known = [part[:count] for part, count in zip(parts, counts, strict=True)]
    known[process_number()] = rows
    return torch.cat(known)


def sum_gradients(shared: nn.Module, whole: Iterable[nn.Module]) -> None:
    """Sum the gradients of `shared`, which saw this process's rows; average those of `whole`, which saw all rows."""
    if process_count() == 1:
        return
    _reduce([p.grad for p in shared.parameters() if p.grad is not None], 1)
    _reduce([p.grad for module in whole for p in module.parameters() if p.grad is not None], process_count())


def average_buffers(network: nn.Module) -> None:
    """Average the running statistics of BatchNorm over the processes, but for frozen stages."""
    if process_count() == 1:
        return
    moving = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    _reduce([buffer for m in moving for buffer in m.buffers() if buffer.is_floating_point()], process_count())


def _reduce(tensors: list[Tensor], divisor: int) -> None:
    """Sum the tensors over the processes and divide, in place, in one message."""
    if not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, part in zip(tensors, (flat / divisor).split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def seed_step(*numbers: int, own: bool) -> None:
    """Seed torch from these numbers, so that a resumed run draws what an uninterrupted one draws.

    own: every process draws other numbers; else all draw those of a single process.
    """
    place = process_number() if own else 0
    torch.manual_seed(int(np.random.SeedSequence((*numbers, place)).generate_state(1)[0]))


def keep_freed_memory() -> None:
    """Make glibc keep freed memory instead of giving it back to the system (`man 3 mallopt`).

    Every step frees and allocates the same gigabytes of activations. Fetched from the system each time, they cost more
    than half of a step on the CPU. Does nothing except on Linux with glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, value in ((-1, 2**31 - 1), (-2, 2**28), (-4, 0)):  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX
            mallopt(option, value)


@contextmanager
def note_interrupts() -> Iterator[threading.Event]:
    """An event that the first SIGINT sets; a second SIGINT interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(signum: int, frame: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
