"""The input of the stages that train: photos, sent through the frozen stages or taken from their cache."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facerec.datasets.augmentation import Pixels, Views, still_batches, training_batches
from facerec.datasets.batches import Batch
from facerec.datasets.photo_sets import PhotoSet
from facerec.errors import DataError
from facerec.models.network import METRIC, Network
from facerec.training.device_views import DeviceViews
from facerec.training.distributed import own_share
from facerec.training.plan import TrainPlan
from facerec.training.prefix_cache import RowStore, store_key
from facerec.training.tasks import Labels, Rows, Task
from facerec.vectors import mean_of_views

STILL_BATCH = 64  # photos in a validation batch
VALIDATION, SAMPLE = "validation", "sample"  # the photos of a task that are measured after each epoch


@dataclass(frozen=True, eq=False, slots=True)
class Given:
    """One batch, or this process's share of it.

    x: (b, ...) output of `Network.prefix` for the frozen stages; normalised pixels if none is frozen.
    positions: (b,) of the photos in their set.
    pixels: (b, 3, S, S) uint8 of the same photos, or None if some of x came from the cache.
    """

    x: Tensor
    positions: Batch
    pixels: Tensor | None


class Feed:
    """The photos of a run, as they come out of the first `count` stages, which are frozen."""

    def __init__(self, network: Network, task: Task, plan: TrainPlan) -> None:
        self.count = -1  # nothing is set up yet
        self._network, self._task = network, task
        self._still = {VALIDATION: task.validation, SAMPLE: task.sample}
        self._size, self._autocast, self._cache_gb = plan.train_size, plan.bf16, plan.settings.cache_gb
        self._needs_pixels = any(not teacher.stored for teacher in plan.teachers)  # then every view is decoded anyway
        self._paths = (*task.train.paths, *task.unlabelled.paths)
        self._labels = np.concatenate([task.train.labels, task.unlabelled.labels])
        self._views, self._made = partial(training_batches, task.views, self._paths), ()
        if plan.settings.cache_on_device:
            self._views, self._made = DeviceViews(task.views, self._paths, network.mean.device).batches, ("by torch",)
        self._train_store: RowStore | None = None
        self._still_stores: dict[str, RowStore] = {}

    def freeze(self, count: int) -> None:
        """Keep the output of the first `count` stages, which no longer change."""
        if count == self.count:
            return
        self.close()
        self.count = count
        if not count or not self._cache_gb:
            return
        views = self._task.views
        cut = ("cut",) if views.cut else ()
        for name, photos in self._still.items():
            if len(photos):
                self._still_stores[name] = self._store([photos], 2, views.faces, views.size, *cut)
        if views.count and not self._needs_pixels:
            shown = [self._task.train, self._task.unlabelled]
            self._train_store = self._store(shown, views.count, views, self._size, self._autocast, *self._made)

    def close(self) -> None:
        """Close the stores, so that other processes can use them."""
        for store in (self._train_store, *self._still_stores.values()):
            if store is not None:
                store.close()
        self._train_store, self._still_stores = None, {}

    def train(self, batches: Sequence[Batch], epoch: int) -> Iterator[Given]:
        """This process's shares of the batches, in the views of an epoch.

        Raises DataError when fewer than two labelled photos of a share can be read.
        """
        train, store = self._task.train, self._train_store
        first = self._task.views.number(epoch) * len(self._paths) if store else 0
        shares = [own_share(batch) for batch in batches]
        absent = [share[~store.has(first + share)] for share in shares] if store else shares
        fresh = self._views(absent, epoch)
        for share, pixels in zip(shares, fresh, strict=True):
            given = self._given(share, pixels, store, first, self._size, self._autocast)
            if np.count_nonzero(given.positions < len(train)) < 2:  # the head's BatchNorm needs two
                raise DataError(f"{train.root}: fewer than two photos of a batch can be read; check the folder")
            yield given
        if store is not None and len(shares):
            self._keep_the_rest(store, first, np.concatenate(shares), epoch)
            store.flush()

    def _keep_the_rest(self, store: RowStore, first: int, shown: Batch, epoch: int) -> None:
        """Also keep the photos of people `shown` that no batch held; the next epoch's batches hold others of them."""
        positions = np.flatnonzero(np.isin(self._labels, self._labels[shown]))
        positions = own_share(positions[store.lacks(first + positions)])
        batches = [positions[i : i + STILL_BATCH] for i in range(0, len(positions), STILL_BATCH)]
        for pixels, readable in self._views(batches, epoch):
            if len(readable):
                store.put(first + readable, self._prefix(pixels, self._size, self._autocast))

    def still(self, name: str, *, mirrored: bool = False) -> Iterator[Given]:
        """This process's share of the task's photos called `name`, in float32 without augmentation.

        name: VALIDATION or SAMPLE. mirrored: their mirror images.
        """
        photos, store = self._still[name], self._still_stores.get(name)
        first = len(photos) if mirrored else 0
        shares = still_shares(len(photos))
        absent = [share[~store.has(first + share)] for share in shares] if store else shares
        fresh = still_batches(self._task.views, photos.paths, absent)
        for share, (pixels, positions) in zip(shares, fresh, strict=True):
            seen = pixels.flip(3) if mirrored else pixels
            given = self._given(share, (seen, positions), store, first, self._network.input_size, False)
            if len(given.positions):
                yield given
        if store is not None:
            store.flush()

    def _given(
        self, share: Batch, fresh: Pixels, store: RowStore | None, first: int, size: int, autocast: bool
    ) -> Given:
        """The rows of a share, in its order. Rows the store lacks are computed from `fresh` and kept."""
        pixels, positions = fresh
        x = self._prefix(pixels, size, autocast) if len(positions) else None
        if store is None:
            return Given(x if x is not None else pixels, positions, pixels)
        if x is not None:
            store.put(first + positions, x)
        kept = np.setdiff1d(share[store.has(first + share)], positions)
        if not len(kept):
            return Given(x if x is not None else pixels, positions, pixels)
        rows, all_positions = store.get(first + kept).to(self._network.mean.device), np.concatenate([kept, positions])
        place = {position: i for i, position in enumerate(share.tolist())}
        order = np.argsort([place[position] for position in all_positions.tolist()])
        rows = rows if x is None else torch.cat([rows, x])
        return Given(rows[torch.from_numpy(order)], all_positions[order], None)

    @torch.no_grad()
    def _prefix(self, pixels: Tensor, size: int, autocast: bool) -> Tensor:
        device = self._network.mean.device
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            return self._network.prefix(scale_pixels(pixels.to(device), size), self.count)

    def _store(self, photos: Sequence[PhotoSet], views: int, *facts: object) -> RowStore:
        hashes = [content for part in photos for content in part.hashes()]
        key = store_key(self._network, self.count, hashes, *facts)
        return RowStore(key, views * len(hashes), self._cache_gb)


def still_shares(count: int) -> list[Batch]:
    """This process's part of each batch of photos 0 to `count` - 1."""
    return [own_share(np.arange(i, min(i + STILL_BATCH, count))) for i in range(0, count, STILL_BATCH)]


def scale_pixels(pixels: Tensor, size: int) -> Tensor:
    """(N, 3, S, S) uint8 -> (N, 3, size, size): the same, or scaled and float32 0..255."""
    if pixels.shape[-1] == size:
        return pixels
    return F.interpolate(pixels.float(), (size, size), mode="bilinear", antialias=True)


@torch.inference_mode()
def network_rows(network: Network, batches: Iterable[Given], count: int) -> tuple[Rows, Rows, Batch]:
    """(n, dim) float32 output in eval mode, (n, A) logits of the attribute, and (n,) positions.

    batches: output of the first `count` stages. A is 0 for a network without a second head.
    """
    was_training = network.training
    network.eval()
    rows, logits = ([np.zeros((0, width), np.float32)] for width in (network.dim, network.attributes))
    positions = [np.zeros(0, np.int64)]
    for given in batches:
        features = network.suffix(given.x, count)  # (b, width)
        rows.append(network.output(features).cpu().numpy())
        logits.append(network.attribute(features).cpu().numpy())
        positions.append(given.positions)
    network.train(was_training)
    return np.concatenate(rows), np.concatenate(logits), np.concatenate(positions)


def rows_of_views(network: Network, batches: Callable[[bool], Iterable[Given]], count: int) -> tuple[Rows, Rows, Batch]:
    """`network_rows` of `batches(False)`; for faces averaged with those of the mirror images, `batches(True)`."""
    rows, logits, positions = network_rows(network, batches(False), count)
    if network.mode == METRIC:
        others, mirrored, _ = network_rows(network, batches(True), count)
        rows, logits = mean_of_views(rows, others), (logits + mirrored) * np.float32(0.5)
    return rows, logits, positions


def photo_rows(network: Network, views: Views, photos: PhotoSet) -> tuple[Rows, Labels]:
    """(N, dim) float32 output and (N,) labels of this process's share of the photos; unreadable ones are left out."""

    def batches(mirrored: bool) -> Iterator[Given]:
        for pixels, positions in still_batches(views, photos.paths, still_shares(len(photos))):
            if len(positions):
                seen = (pixels.flip(3) if mirrored else pixels).to(network.mean.device)
                yield Given(network.prefix(seen, 0), positions, None)

    rows, _, positions = rows_of_views(network, batches, 0)
    return rows, photos.labels[positions]
