"""The settings of a training run."""

from dataclasses import dataclass

from facerec.settings import setting

PEOPLE_PER_BATCH = 16
"""P where nobody asks for another, and there are so many people."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """One training run. Every field is also an option of `facerec train`."""

    # ---- the network, and what of it trains
    mode: str = setting("metric", "`metric` learns to tell people apart, `classify` the classes of a folder.")
    backbone: str = setting("resnet50", "A name of the backbone table (`facerec models`).")
    strategy: str = setting(
        "partial",
        "What trains: full, frozen, partial, discriminative, gradual, or scratch (full, from random weights).",
    )
    frozen_stages: int | None = setting(
        None, "`partial`: how many of the first stages stay as they are; the backbone's own cut unless given."
    )
    stage_decay: float = setting(
        0.4, "`discriminative`: each stage learns at this share of the rate of the stage above it."
    )
    unfreeze_epochs: int = setting(
        1, "`gradual`: after every so many epochs the next stage towards the first layers begins to train."
    )
    kept_stages: int = setting(
        0, "Only this many first stages of the backbone are used, for data unlike ImageNet; 0: all of them."
    )
    drop_blocks: str = setting(
        "",
        "Residual blocks that a ResNet goes without, joined by commas: `layer1.1,layer3.2`; the shortcut around them "
        "stays.",
    )
    head_layers: int = setting(1, "New layers in place of the last ones; more than one are 512 wide in between.")
    pooling: str = setting(
        "mean",
        "How the last feature maps become features: `mean`, each map's mean, or `flat`, every place of every map, for "
        "pictures in which places have a meaning, as in aligned faces.",
    )
    embedding_dim: int = setting(512, "D, the length of an embedding.")
    input_size: int = setting(
        0, "Side of the pixels the network sees; 0: 112 for faces, to classify what the backbone was made for."
    )
    init: str = setting(
        "imagenet",
        "Where the weights start: `imagenet`, `random`, `default` (the shipped model) or a model folder to go on from, "
        "which stays what it was where no epoch does better.",
    )

    # ---- what it learns from
    loss: str = setting(
        "",
        "Terms joined by +, each with a weight or without: `triplet + 0.1*arcface`. To tell people apart: triplet "
        "(default), contrastive, multi-similarity, supcon, arcface, cosface, proxy-anchor, cross-entropy; to classify: "
        "cross-entropy. `none`: the teacher alone.",
    )
    mining: str = setting("semihard", "Which triplets of a batch count: all, semihard, hard (batch-hard), distance.")
    margin: float = setting(
        0.2, "alpha of the triplet loss, in squared Euclidean distance; 0 asks for the soft margin log(1 + exp(.))."
    )
    memory: int = setting(
        0, "Embeddings of earlier batches that pairs and triplets are also formed with (cross-batch memory); 0: none."
    )
    label_smoothing: float = setting(0.0, "Share of the label spread over all classes in cross-entropy, 0..1.")
    attribute: str = setting(
        "",
        "A second task: a CSV `photo,NAME` or `person,NAME` (photos as person/file), whose values a second head on the "
        "same features learns to tell apart. The best epoch is still that of the first task.",
    )
    attribute_weight: float = setting(1.0, "Weight of the attribute's cross-entropy beside `loss`.")
    teacher: tuple[str, ...] = setting(
        (),
        "Who the student is pulled towards: an .npz of `names` and `embeddings` (see facerec.training.distillation), "
        "or a FILE.onnx, model folder or `default` that is run on the augmented crops. May be given several times.",
    )
    teacher_loss: str = setting(
        "cosine + 10*relational",
        "Terms joined by +: cosine, mse, relational, direct (see facerec.training.distillation).",
    )
    teacher_weight: float = setting(1.0, "Weight of the teachers' loss, averaged over them, beside `loss`.")

    # ---- how it is shown the photos
    people_per_batch: int | None = setting(
        None,
        f"P of the P x K batches, for the losses that compare photos of a batch; unless given {PEOPLE_PER_BATCH}, or "
        "all people with K photos, where those are fewer.",
    )
    photos_per_person: int = setting(4, "K of the P x K batches; people with fewer photos are left out of them.")
    batch_size: int = setting(64, "Photos per batch for all other losses.")
    train_size: int = setting(
        0, "Pixels training photos are scaled to: 80 costs half of 112. Validation is at the full size. 0: that, too."
    )
    strong_augmentation: bool = setting(
        False,
        "Besides shift and mirror: faces turned and stretched; light, colour, grey, low resolution, blur, parts "
        "covered. Against overfitting.",
    )
    mix: float = setting(
        0.0,
        "Share of the crops of a batch that are mixed with another one, blended or cut along a line: faces of nobody, "
        "which only a teacher that is run can tell something about (--loss none).",
    )
    views: int = setting(0, "Differently augmented views of a photo, shown epoch by epoch in turn; 0: always new ones.")
    cache_gb: float = setting(
        10.0,
        "Disk space (in $FACEREC_CACHE) for what frozen stages make of the photos, so that it is computed once: of the "
        "validation photos, and with `views` of the training photos; 0: it is computed every time.",
    )

    # ---- how it is optimised
    epochs: int = setting(10, "Passes over the training photos.")
    early_stopping: int = setting(0, "Stop after so many epochs that bring no better validation score; 0: never.")
    optimizer: str = setting("adamw", "adam, adamw, sgd (with momentum 0.9) or adagrad.")
    lr: float = setting(3e-4, "Learning rate of the backbone's last stage.")
    head_lr: float = setting(1e-3, "Learning rate of the new layers (head, proxies, teacher projection).")
    weight_decay: float = setting(0.0, "Weight decay; adamw's is decoupled.")
    schedule: str = setting(
        "step",
        "`step`: x 0.1 every `step_epochs`; `plateau`: x 0.1 after as many epochs without a better validation score; "
        "`cosine`: down to zero after a linear warm-up.",
    )
    step_epochs: int = setting(7, "Epochs between the steps of `step`; epochs `plateau` waits.")
    warmup: float = setting(0.05, "Share of all steps spent warming up under `cosine`.")
    accumulate: int = setting(1, "Batches whose gradients are averaged into one step.")
    clip_norm: float = setting(0.0, "Largest norm of a step's gradient, longer ones are scaled down; 0: no limit.")
    ema: float = setting(
        0.0, "Decay per step of a moving average of the weights, which is then what is validated and kept; 0: none."
    )
    precision: str = setting(
        "auto",
        "fp32, bf16 (autocast), or auto: bf16 where the hardware computes it; where it is emulated it is slow.",
    )

    # ---- the run
    checkpoint_minutes: float = setting(
        3.0, "A checkpoint is written at least this often, and at the end of each epoch."
    )
    limit_people: int | None = setting(
        None, "Train on this many people (or classes) only, a seeded choice, for trials."
    )
    tensorboard: bool = setting(False, "Also write the run for TensorBoard (pip install facerec[tensorboard]).")
    seed: int = setting(0, "Everything random follows from it: the same seed gives the same run on one machine.")
