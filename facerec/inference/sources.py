"""Where photos come from: a folder of them, or a folder of shards, which stands for the photos that it holds."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from facerec.errors import ConfigError, DataError
from facerec.faces.settings import DetectorSettings
from facerec.inference.shard_plan import Plan, Recipe, is_planned, read_plan, shard_name
from facerec.photos.folders import ByPerson, by_person, find_photos, identity_folders, people_among, require_people
from facerec.text import how_many, printable

if TYPE_CHECKING:  # these bring NumPy, and a mistyped name is refused before that
    from facerec.inference.shards import ShardPhoto
    from facerec.models.card import ModelCard
    from facerec.photos.memory import AnyPhoto
    from facerec.types import Photo

_KEPT = 30_000  # photos of a folder in memory at a time, some 3 kB each: pairs are read in any order


@dataclass(frozen=True, eq=False, slots=True)
class PhotoSource:
    """A folder of photos that was given, or of shards.

    root: the folder that the photos are in, or were when they were embedded. plan: of shards; None for photos.
    embedded: path -> the photo of a shard, in the order of the paths; empty for a folder of photos.
    """

    given: Path
    root: Path
    plan: Plan | None = None
    embedded: "Mapping[Path, ShardPhoto]" = field(default_factory=dict)

    def photos(self) -> list[Path]:
        """All photos, sorted; see `find_photos`."""
        return find_photos(self.given) if self.plan is None else list(self.embedded)

    def by_person(self) -> ByPerson:
        """The photos by person; see `folders.by_person`."""
        return by_person(self.given) if self.plan is None else people_among(self.root, self.embedded, self.plan.bare)

    def people(self) -> dict[str, list[Path]]:
        """Person -> photos; see `identity_folders`."""
        return identity_folders(self.given) if self.plan is None else require_people(self.root, self.by_person())

    def of(self, path: Path) -> "AnyPhoto":
        """The photo at a path: one that need not be read again, if it is a shard's."""
        return self.embedded.get(path, path)


def photo_source(folder: Path) -> PhotoSource:
    """Open a folder of photos or of shards. DataError where shards are missing or the plan is damaged."""
    if not is_planned(folder):
        return PhotoSource(folder, folder)
    from facerec.extras import require

    require("pyarrow", "a folder of shards")
    plan = read_plan(folder)
    absent = [number for number in range(len(plan.shards)) if not (folder / shard_name(number)).exists()]
    if absent:
        source, output = (shlex.quote(printable(path)) for path in (plan.source, folder))
        raise DataError(
            f"{printable(folder)}: {how_many(len(absent), 'shard')} of {len(plan.shards)} missing, the first "
            f"{shard_name(absent[0])}; `facerec embed {source} --output {output}` makes them"
        )
    return PhotoSource(folder, Path(plan.root), plan, _photos(folder, plan))


def _photos(folder: Path, plan: Plan) -> "dict[Path, ShardPhoto]":
    from facerec.inference.shards import ShardPhoto, read_shard

    @lru_cache(max(4, _KEPT // max(map(len, plan.shards))))
    def read(number: int) -> "Sequence[Photo]":
        return read_shard(folder, plan, number)

    places = ((path, i, place) for i in range(len(plan.shards)) for place, path in enumerate(plan.paths(i)))
    return {path: ShardPhoto(path, read, number, place) for path, number, place in sorted(places)}


def settled_looks(
    sources: Iterable[PhotoSource], card: "ModelCard", aligned: bool, settings: DetectorSettings
) -> tuple[bool, DetectorSettings]:
    """How photos are looked at beside those of shards: as these were, so that their vectors may be compared.

    Without shards, as is asked for. Raises ConfigError where shards are of another model, or were made in another way
    than is asked for.
    """
    plans = [(source.given, source.plan.recipe) for source in sources if source.plan is not None]
    for given, recipe in plans:
        if recipe.fingerprint != card.fingerprint:
            raise ConfigError(
                f"{printable(given)}: holds vectors of the model {recipe.model} ({recipe.fingerprint}), not of "
                f"{card.name} ({card.fingerprint}); give that `model`, or embed the photos again"
            )
        if not _agrees(recipe, aligned, settings) or recipe.detection != plans[0][1].detection:
            wanted = Recipe.of(card, aligned, settings) if recipe.detection == plans[0][1].detection else plans[0][1]
            raise ConfigError(
                f"{printable(given)}: was embedded with {recipe.detection}, not with {wanted.detection}; "
                "ask for the same, or embed the photos again"
            )
    return (plans[0][1].aligned, plans[0][1].settings) if plans else (aligned, settings)


def _agrees(recipe: Recipe, aligned: bool, settings: DetectorSettings) -> bool:
    """Whether what is asked for is a default, or how the shards were made."""
    if aligned or recipe.aligned:  # then no detector finds anything
        return recipe.aligned
    default, own = DetectorSettings(), recipe.settings
    names = ("detector", "min_face_size", "min_confidence")
    return all(getattr(settings, name) in (getattr(default, name), getattr(own, name)) for name in names)
