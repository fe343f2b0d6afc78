"""Settings: frozen, documented field by field, read from TOML; a key nobody knows is an error."""

import dataclasses
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from facerec.errors import ConfigError

T = TypeVar("T")

PEOPLE_PER_BATCH = 16
"""P where nobody asks for another, and there are so many people."""


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

    # ---- the network, and what of it trains
    mode: str = _setting("metric", "`metric` learns to tell people apart, `classify` the classes of a folder.")
    backbone: str = _setting("resnet50", "A name of the backbone table (`facerec models`).")
    strategy: str = _setting(
        "partial",
        "What trains: full, frozen, partial, discriminative, gradual, or scratch (full, from random weights).",
    )
    frozen_stages: int | None = _setting(
        None, "`partial`: how many of the first stages stay as they are; the backbone's own cut unless given."
    )
    stage_decay: float = _setting(
        0.4, "`discriminative`: each stage learns at this share of the rate of the stage above it."
    )
    unfreeze_epochs: int = _setting(
        1, "`gradual`: after every so many epochs the next stage towards the first layers begins to train."
    )
    kept_stages: int = _setting(
        0, "Only this many first stages of the backbone are used, for data unlike ImageNet; 0: all of them."
    )
    drop_blocks: str = _setting(
        "",
        "Residual blocks that a ResNet goes without, joined by commas: `layer1.1,layer3.2`; the shortcut around them "
        "stays.",
    )
    head_layers: int = _setting(1, "New layers in place of the last ones; more than one are 512 wide in between.")
    pooling: str = _setting(
        "mean",
        "How the last feature maps become features: `mean`, each map's mean, or `flat`, every place of every map, for "
        "pictures in which places have a meaning, as in aligned faces.",
    )
    embedding_dim: int = _setting(512, "D, the length of an embedding.")
    input_size: int = _setting(
        0, "Side of the pixels the network sees; 0: 112 for faces, to classify what the backbone was made for."
    )
    init: str = _setting(
        "imagenet",
        "Where the weights start: `imagenet`, `random`, `default` (the shipped model) or a model folder to go on from, "
        "which stays what it was where no epoch does better.",
    )

    # ---- what it learns from
    loss: str = _setting(
        "",
        "Terms joined by +, each with a weight or without: `triplet + 0.1*arcface`. To tell people apart: triplet "
        "(default), contrastive, multi-similarity, supcon, arcface, cosface, proxy-anchor, cross-entropy; to classify: "
        "cross-entropy. `none`: the teacher alone.",
    )
    mining: str = _setting("semihard", "Which triplets of a batch count: all, semihard, hard (batch-hard), distance.")
    margin: float = _setting(
        0.2, "alpha of the triplet loss, in squared Euclidean distance; 0 asks for the soft margin log(1 + exp(.))."
    )
    memory: int = _setting(
        0, "Embeddings of earlier batches that pairs and triplets are also formed with (cross-batch memory); 0: none."
    )
    label_smoothing: float = _setting(0.0, "Share of the label spread over all classes in cross-entropy, 0..1.")
    attribute: str = _setting(
        "",
        "A second task: a CSV `photo,NAME` or `person,NAME` (photos as person/file), whose values a second head on the "
        "same features learns to tell apart. The best epoch is still that of the first task.",
    )
    attribute_weight: float = _setting(1.0, "Weight of the attribute's cross-entropy beside `loss`.")
    teacher: tuple[str, ...] = _setting(
        (),
        "Who the student is pulled towards: an .npz of `names` and `embeddings` (see facerec.training.distillation), or "
        "a FILE.onnx, model folder or `default` that is run on the augmented crops. May be given several times.",
    )
    teacher_loss: str = _setting(
        "cosine + 10*relational",
        "Terms joined by +: cosine, mse, relational, direct (see facerec.training.distillation).",
    )
    teacher_weight: float = _setting(1.0, "Weight of the teachers' loss, averaged over them, beside `loss`.")

    # ---- how it is shown the photos
    people_per_batch: int | None = _setting(
        None,
        f"P of the P x K batches, for the losses that compare photos of a batch; unless given {PEOPLE_PER_BATCH}, or "
        "all people with K photos, where those are fewer.",
    )
    photos_per_person: int = _setting(4, "K of the P x K batches; people with fewer photos are left out of them.")
    batch_size: int = _setting(64, "Photos per batch for all other losses.")
    train_size: int = _setting(
        0, "Pixels training photos are scaled to: 80 costs half of 112. Validation is at the full size. 0: that, too."
    )
    strong_augmentation: bool = _setting(
        False,
        "Besides shift and mirror: faces turned and stretched; light, colour, grey, low resolution, blur, parts "
        "covered. Against overfitting.",
    )
    mix: float = _setting(
        0.0,
        "Share of the crops of a batch that are mixed with another one, blended or cut along a line: faces of nobody, "
        "which only a teacher that is run can tell something about (--loss none).",
    )
    views: int = _setting(
        0, "Differently augmented views of a photo, shown epoch by epoch in turn; 0: always new ones."
    )
    cache_gb: float = _setting(
        10.0,
        "Disk space (in $FACEREC_CACHE) for what frozen stages make of the photos, so that it is computed once: of the "
        "validation photos, and with `views` of the training photos; 0: it is computed every time.",
    )

    # ---- how it is optimised
    epochs: int = _setting(10, "Passes over the training photos.")
    early_stopping: int = _setting(0, "Stop after so many epochs that bring no better validation score; 0: never.")
    optimizer: str = _setting("adamw", "adam, adamw, sgd (with momentum 0.9) or adagrad.")
    lr: float = _setting(3e-4, "Learning rate of the backbone's last stage.")
    head_lr: float = _setting(1e-3, "Learning rate of the new layers (head, proxies, teacher projection).")
    weight_decay: float = _setting(0.0, "Weight decay; adamw's is decoupled.")
    schedule: str = _setting(
        "step",
        "`step`: x 0.1 every `step_epochs`; `plateau`: x 0.1 after as many epochs without a better validation score; "
        "`cosine`: down to zero after a linear warm-up.",
    )
    step_epochs: int = _setting(7, "Epochs between the steps of `step`; epochs `plateau` waits.")
    warmup: float = _setting(0.05, "Share of all steps spent warming up under `cosine`.")
    accumulate: int = _setting(1, "Batches whose gradients are averaged into one step.")
    clip_norm: float = _setting(0.0, "Largest norm of a step's gradient, longer ones are scaled down; 0: no limit.")
    ema: float = _setting(
        0.0, "Decay per step of a moving average of the weights, which is then what is validated and kept; 0: none."
    )
    precision: str = _setting(
        "auto",
        "fp32, bf16 (autocast), or auto: bf16 where the hardware computes it; where it is emulated it is slow.",
    )

    # ---- the run
    checkpoint_minutes: float = _setting(
        3.0, "A checkpoint is written at least this often, and at the end of each epoch."
    )
    limit_people: int | None = _setting(
        None, "Train on this many people (or classes) only, a seeded choice, for trials."
    )
    tensorboard: bool = _setting(False, "Also write the run for TensorBoard (pip install facerec[tensorboard]).")
    seed: int = _setting(0, "Everything random follows from it: the same seed gives the same run on one machine.")


Settings = TypeVar("Settings", DetectorSettings, TrainSettings)


def build_settings(kind: type[Settings], values: dict[str, Any], where: str) -> Settings:
    """Make settings of `values`; raises ConfigError for an unknown key or a value of the wrong type."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key, value in values.items():
        if key not in fields:
            raise ConfigError(f"{where}: unknown setting '{key}'; known are {', '.join(fields)}")
        allowed = fields[key].type
        if isinstance(value, bool) and allowed is not bool:
            raise ConfigError(f"{where}: '{key}' must be {getattr(allowed, '__name__', allowed)}, not {value!r}")
        if allowed is float and type(value) is int:
            values = {**values, key: float(value)}
        elif isinstance(value, list | tuple) and get_args(allowed) == (str, ...) and _all_text(value):
            values = {**values, key: tuple(value)}
        elif get_args(allowed) == (str, ...):
            raise ConfigError(f"{where}: '{key}' must be a list of texts, not {value!r}")
        elif not isinstance(value, allowed):  # type: ignore[arg-type]
            name = getattr(allowed, "__name__", str(allowed))
            raise ConfigError(f"{where}: '{key}' must be {name}, not {value!r}")
    return kind(**values)


def _all_text(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def split_names(text: str) -> tuple[str, ...]:
    """The names in `a, b`, as some options have them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def read_values(path: Path) -> dict[str, Any]:
    """The settings a TOML file gives, not yet checked; raises ConfigError naming the file."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a readable TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error})") from error


def read_settings(kind: type[Settings], path: Path) -> Settings:
    """Read one TOML file of settings; raises ConfigError naming the file and the key."""
    return build_settings(kind, read_values(path), str(path))
