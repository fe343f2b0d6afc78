"""The plan of a folder of shards, `plan.json`: which photos are in which shard, and how they are embedded.

It is made once, before the first photo is read. Later runs only add shards, for photos that came later. So all
processes and machines make the same shards.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from facerec.datasets.text_files import read_lines
from facerec.errors import ConfigError, DataError
from facerec.faces.settings import DetectorSettings
from facerec.files import write_text
from facerec.photos.folders import find_photos, find_photos_and_bare
from facerec.settings import build_settings
from facerec.text import how_many, printable

if TYPE_CHECKING:  # brings NumPy, and the command line looks at plans before that is needed
    from facerec.models.card import ModelCard

PLAN = "plan.json"
FORMAT = "facerec-shards-1"
_BEGINNING = b'{"format": "facerec-shards-'  # of every plan, also of a later format
PER_SHARD = 512  # photos: enough for a file of its own, few enough to lose to a power cut


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides about the vectors: the model, by `fingerprint`, and how faces are found (`faces.settings`).

    aligned: the photos are aligned crops; the detector's settings then have no value ("" and 0).
    """

    model: str
    fingerprint: str
    dimension: int
    aligned: bool
    detector: str
    min_face_size: int
    min_confidence: float

    @classmethod
    def of(cls, card: "ModelCard", aligned: bool, settings: DetectorSettings) -> "Recipe":
        """The recipe of a model's card and the detector's settings."""
        looks = ("", 0, 0.0)
        if not aligned:
            looks = (settings.detector or "mtcnn", settings.min_face_size, settings.min_confidence)
        return cls(card.name, card.fingerprint, card.embedding_dim, aligned, *looks)

    @property
    def settings(self) -> DetectorSettings:
        """The detector's settings."""
        if self.aligned:
            return DetectorSettings()
        return DetectorSettings(self.min_face_size, self.min_confidence, detector=self.detector)

    @property
    def detection(self) -> str:
        """How faces are found, in words."""
        if self.aligned:
            return "aligned crops (`aligned`)"
        return f"{self.detector}, `min_face_size` {self.min_face_size}, `min_confidence` {self.min_confidence:g}"


class Planned(NamedTuple):
    """A photo of a plan: its name relative to the plan's root, its size in bytes, when it was changed (ns)."""

    name: str
    size: int
    changed: int


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """What `plan.json` says.

    source: the folder, or the list of photos; root: the folder that the photos' names are relative to. Both are full
    paths. bare: the sub-folders without a photo, which may be people. shards: the photos of each.
    """

    source: str
    root: str
    recipe: Recipe
    bare: tuple[str, ...]
    shards: tuple[tuple[Planned, ...], ...]

    def paths(self, number: int) -> list[Path]:
        """Where the photos of a shard are, or were."""
        return [Path(self.root, photo.name) for photo in self.shards[number]]

    def photos(self) -> Iterator[Planned]:
        """All photos, shard by shard."""
        return (photo for shard in self.shards for photo in shard)


@dataclass(slots=True)
class Differences:
    """Photos that are not as the plan has them: names. added: those that get shards now."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def lines(self, output: Path) -> list[str]:
        """A line for each kind that somebody must know of."""
        old, found = "their shards keep what was there", []
        if self.changed:
            what = f"{how_many(len(self.changed), 'photo')} changed, the first {printable(self.changed[0])}"
            found.append(f"{what}: {old}; to embed them again give another `output`, or delete their shards")
        if self.gone:
            found.append(f"{how_many(len(self.gone), 'photo')} gone, the first {printable(self.gone[0])}: {old}")
        return [f"{printable(output)}: {line}" for line in found]


def shard_name(number: int) -> str:
    """The file of a shard."""
    return f"shard-{number:05}.parquet"


def is_planned(folder: Path) -> bool:
    """Whether `facerec embed` wrote to this folder. Somebody's own plan.json among photos is none of it."""
    try:
        with (folder / PLAN).open("rb") as file:
            own = file.read(len(_BEGINNING)) == _BEGINNING
    except OSError:
        return False
    return own or (folder / shard_name(0)).exists()  # then the plan is damaged, and reading it says so


# --------------------------------------------------------------------------------------------------- making a plan


def make_plan(source: Path, recipe: Recipe, per_shard: int) -> Plan:
    """The plan for a folder of photos, or a list of them. DataError if there are none."""
    root, photos, bare = _photos_of(source)
    if not photos:
        raise DataError(f"{printable(source)}: no photos; give another folder, or a list of photos")
    shards = _cut(_as_they_are(root, photos), per_shard)
    return Plan(os.path.abspath(source), str(root), recipe, tuple(bare), tuple(shards))


def brought_up_to_date(plan: Plan, source: Path, made: Sequence[bool], per_shard: int) -> tuple[Plan, Differences]:
    """The plan with shards for photos that came later, and what else is different.

    made: whether each shard is there; the photos of the others are taken as they are now.
    """
    _, photos, bare = _photos_of(source, plan.root)
    now = {photo.name: photo for photo in _as_they_are(Path(plan.root), photos)}
    known = {photo.name for photo in plan.photos()}
    new = [photo for name, photo in now.items() if name not in known]
    found = Differences([photo.name for photo in new])
    for shard in (shard for shard, is_made in zip(plan.shards, made, strict=True) if is_made):
        found.gone += [photo.name for photo in shard if photo.name not in now]
        found.changed += [photo.name for photo in shard if now.get(photo.name, photo) != photo]
    shards = [
        shard if is_made else tuple(now.get(photo.name, photo) for photo in shard)
        for shard, is_made in zip(plan.shards, made, strict=True)
    ]
    return replace(plan, bare=tuple(bare), shards=(*shards, *_cut(new, per_shard))), found


def require_same(plan: Plan, source: Path, recipe: Recipe, output: Path) -> None:
    """Raise ConfigError where the folder of shards was begun for other photos, or with another model or detector."""
    own, where = plan.recipe, printable(output)
    if os.path.abspath(source) != plan.source:
        raise ConfigError(
            f"{where}: holds the vectors of {printable(plan.source)}; give another `output` for {printable(source)}"
        )
    if (own.fingerprint, own.model) != (recipe.fingerprint, recipe.model):
        raise ConfigError(
            f"{where}: was begun with the model {own.model} ({own.fingerprint}), and this is {recipe.model} "
            f"({recipe.fingerprint}); give that model, or another `output`"
        )
    if own != recipe:
        raise ConfigError(
            f"{where}: was begun with {own.detection}, and asked for is {recipe.detection}; "
            "ask for the same, or give another `output`"
        )


def _photos_of(source: Path, root: str | None = None) -> tuple[Path, list[Path], list[str]]:
    """The root, the full paths of the photos in their order, and the sub-folders without photos."""
    full = Path(os.path.abspath(source))
    if os.path.isdir(full):
        return full, *find_photos_and_bare(full)
    listed = sorted({Path(os.path.abspath(full.parent / line)) for line in _lines(full)})
    common = root or (os.path.commonpath([path.parent for path in listed]) if listed else str(full.parent))
    photos = [photo for path in listed for photo in (find_photos(path) if os.path.isdir(path) else [path])]
    return Path(common), list(dict.fromkeys(photos)), []


def _lines(file: Path) -> list[str]:
    """The paths that a list holds. Those of files whose name is no text cannot be listed."""
    lines = read_lines(file, "a folder of photos, or a list of photos, one path a line")
    return [line.strip() for line in lines if line.strip()]


def _as_they_are(root: Path, photos: Sequence[Path]) -> list[Planned]:
    return [Planned(_name(photo, root), *_facts(photo)) for photo in photos]


def _name(photo: Path, root: Path) -> str:
    return (photo.relative_to(root) if photo.is_relative_to(root) else photo).as_posix()


def _facts(photo: Path) -> tuple[int, int]:
    """Size and time of change; -1 where the file cannot be looked at: embedding it will say why."""
    try:
        facts = os.stat(photo)
    except OSError:
        return -1, -1
    return facts.st_size, facts.st_mtime_ns


def _cut(photos: Sequence[Planned], per_shard: int) -> list[tuple[Planned, ...]]:
    waiting = iter(photos)
    return list(iter(lambda: tuple(islice(waiting, per_shard)), ()))


# ----------------------------------------------------------------------------------------------------------- the file


def write_plan(plan: Plan, folder: Path) -> None:
    """Write `plan.json`, all or nothing. Names that are no Unicode text survive as JSON's escapes."""
    values: dict[str, Any] = {"format": FORMAT, "source": plan.source, "root": plan.root}
    values |= {"recipe": asdict(plan.recipe), "bare": plan.bare, "shards": plan.shards}
    write_text(folder / PLAN, json.dumps(values) + "\n")


def read_plan(folder: Path) -> Plan:
    """Read `plan.json`. DataError if it is missing, damaged, or of a later version of facerec."""
    path, anew = folder / PLAN, "embed again, into a new folder"  # embedding into this one reads the plan, too
    try:
        values = json.loads(path.read_text("utf-8"))
        if values["format"] != FORMAT:
            raise DataError(f"{printable(path)}: of another version of facerec; use that one, or {anew}")
        shards = tuple(tuple(Planned(*photo) for photo in shard) for shard in values["shards"])
        if not all(shards) or not shards:
            raise ValueError("a shard without photos")
        recipe = build_settings(Recipe, values["recipe"], printable(path))
        return Plan(values["source"], values["root"], recipe, tuple(values["bare"]), shards)
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror}); {anew}") from error
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise DataError(f"{printable(path)}: is damaged ({type(error).__name__}); {anew}") from error
