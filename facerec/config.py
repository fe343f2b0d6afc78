"""Settings: frozen, documented field by field, read from TOML; a key nobody knows is an error."""

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from facerec.errors import ConfigError

T = TypeVar("T")


def _setting(default: T, help: str) -> T:
    """A field with its documentation: the command line shows it too."""
    return dataclasses.field(default=default, metadata={"help": help})  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How faces are found."""

    min_face_size: int = _setting(
        32, "Smallest face looked for, in pixels of the photo after it was scaled down; the work grows with 1 / size^2."
    )
    min_confidence: float = _setting(0.9, "Faces the detector is less sure of are dropped, 0..1.")
    max_side: int = _setting(
        1280, "Photos whose longer side is above this are scaled down before detection, in pixels."
    )
    batch_size: int = _setting(16, "Photos (padded to one size) that go through the detector together.")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """One training run. Every field is also an option of `facerec train`."""

    backbone: str = _setting("resnet50", "A name of the backbone table (`facerec models`).")
    strategy: str = _setting("partial", "What trains: full, frozen, partial or discriminative.")
    frozen_stages: int | None = _setting(
        None, "`partial`: how many of the first stages stay as they are; the backbone's own cut unless given."
    )
    stage_decay: float = _setting(
        0.4, "`discriminative`: each stage learns at this share of the rate of the stage above it."
    )
    embedding_dim: int = _setting(512, "D, the length of an embedding.")
    init: str = _setting("imagenet", "Where the weights start: `imagenet`, `random`, or a model folder to go on from.")

    loss: str = _setting("triplet", "`triplet`, or `none` to train on the teacher alone.")
    mining: str = _setting("semihard", "Which triplets of a batch count: all, semihard or hard (batch-hard).")
    margin: float = _setting(
        0.2, "alpha of the triplet loss, in squared Euclidean distance; 0 asks for the soft margin log(1 + exp(.))."
    )
    teacher: str | None = _setting(
        None, "An .npz of `names` and `embeddings` (see facerec.distill) the student is pulled towards."
    )
    teacher_weight: float = _setting(1.0, "Weight of the teacher's loss beside the triplet loss (whose weight is 1).")

    people_per_batch: int = _setting(16, "P of the P x K batches.")
    photos_per_person: int = _setting(
        4, "K of the P x K batches; people with fewer photos are left out under the triplet loss."
    )
    epochs: int = _setting(10, "Passes over the training people.")
    lr: float = _setting(3e-4, "Learning rate of the backbone's last stage.")
    head_lr: float = _setting(1e-3, "Learning rate of the new layers (embedding head, teacher projection).")
    weight_decay: float = _setting(0.0, "Decoupled weight decay (AdamW); 0 is plain Adam.")
    schedule: str = _setting(
        "step", "`step`: x 0.1 every `step_epochs`; `cosine`: down to zero after a linear warm-up."
    )
    step_epochs: int = _setting(7, "Epochs between the steps of the `step` schedule.")
    warmup: float = _setting(0.05, "Share of all steps spent warming up under `cosine`.")
    precision: str = _setting(
        "auto",
        "fp32, bf16 (autocast), or auto: bf16 where the hardware computes it; where it is emulated it is slow.",
    )
    train_size: int = _setting(
        112, "Pixels training crops are scaled to: 80 costs half of 112. Validation is always at 112."
    )

    strong_augmentation: bool = _setting(
        False, "Besides shift and mirror: light, colour, grey, low resolution, parts covered. Against overfitting."
    )

    checkpoint_minutes: float = _setting(
        3.0, "A checkpoint is written at least this often, and at the end of each epoch."
    )
    limit_people: int | None = _setting(None, "Train on this many people only (a seeded choice), for trials.")
    seed: int = _setting(0, "Everything random follows from it: the same seed gives the same run on one machine.")


Settings = TypeVar("Settings", DetectorSettings, TrainSettings)


def build_settings(kind: type[Settings], values: dict[str, Any], where: str) -> Settings:
    """Make settings of `values`; raises ConfigError for an unknown key or a value of the wrong type."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key, value in values.items():
        if key not in fields:
            raise ConfigError(f"{where}: unknown setting '{key}'; known are {', '.join(fields)}")
        allowed = fields[key].type
        if allowed is float and type(value) is int:
            values = {**values, key: float(value)}
        elif not isinstance(value, allowed):  # type: ignore[arg-type]
            name = getattr(allowed, "__name__", str(allowed))
            raise ConfigError(f"{where}: '{key}' must be {name}, not {value!r}")
    return kind(**values)


def read_settings(kind: type[Settings], path: Path) -> Settings:
    """Read one TOML file of settings; raises ConfigError naming the file and the key."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a readable TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error})") from error
    return build_settings(kind, values, str(path))
