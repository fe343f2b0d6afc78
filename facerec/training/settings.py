"""The settings of a training run."""

from dataclasses import dataclass

from facerec.settings import require_types, setting

PEOPLE_PER_BATCH = 16
"""P of the P x K batches, unless another is given or fewer people have K photos."""

STRATEGIES = ("full", "frozen", "partial", "discriminative", "gradual", "scratch")
"""Known to `freezing`, which needs torch."""
LOSSES = ("triplet", "contrastive", "multi-similarity", "supcon", "arcface", "cosface", "proxy-anchor", "cross-entropy")
"""Known to `losses`, which needs torch."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """One training run. Every field is also an option of `facerec train`.

    ConfigError for a value of the wrong type. `facerec.training.plan.make_plan` refuses other bad values.

    >>> import facerec
    >>> facerec.TrainSettings(strategy="frozen").embedding_dim
    512
    """

    # ---- the network, and what of it trains
    mode: str = setting(
        "metric",
        "`metric` learns to tell people apart; `classify` learns the classes of a folder.",
        ("metric", "classify"),
    )
    backbone: str = setting("resnet50", "The network to start from; `facerec models` lists them.")
    strategy: str = setting(
        "partial",
        "Which stages train. `scratch` is `full` from random weights.",
        STRATEGIES,
    )
    frozen_stages: int | None = setting(
        None, "`partial`: how many of the first stages do not train; unless given, the backbone's usual number."
    )
    stage_decay: float = setting(0.4, "`discriminative`: each stage learns at this share of the next stage's rate.")
    unfreeze_epochs: int = setting(
        1, "`gradual`: epochs until one more stage begins to train, from the last stage to the first."
    )
    kept_stages: int = setting(
        0, "How many first stages of the backbone are used; fewer suit data unlike ImageNet. 0: all of them."
    )
    drop_blocks: str = setting(
        "",
        "Residual blocks to leave out of a ResNet, joined by commas: `layer1.1,layer3.2`. Their shortcuts stay.",
    )
    head_layers: int = setting(1, "Linear layers of the new head; all but the last are 512 wide.")
    pooling: str = setting(
        "mean",
        "How the last feature maps become features. `mean`: the mean of each map. `flat`: every value of every map, "
        "for pictures in which places have a meaning, such as aligned faces. `flat-linear`: the same, with nothing "
        "between the maps and the linear layers, as in AlexNet and VGG.",
        ("mean", "flat", "flat-linear"),
    )
    embedding_dim: int = setting(512, "D, the length of an embedding.")
    input_size: int = setting(
        0, "Side of the network's input in pixels; 0: 112 for faces, and to classify the backbone's own size."
    )
    init: str = setting(
        "imagenet",
        "Where the weights start: `imagenet`, `random`, `default` (the shipped model) or a model folder. If no epoch "
        "is better than that model, the run keeps it unchanged.",
    )

    # ---- what it learns from
    loss: str = setting(
        "",
        "Terms joined by +, with or without a weight: `triplet + 0.1*arcface`. To tell people apart: "
        f"{', '.join(LOSSES)}; unless given, triplet. To classify: cross-entropy. `none`: learn from teachers only.",
    )
    mining: str = setting(
        "semihard",
        "Which triplets of a batch are used. `hard` is batch-hard; `distance` draws them by distance.",
        ("all", "semihard", "hard", "distance"),
    )
    margin: float = setting(
        0.2, "alpha of the triplet loss, in squared Euclidean distance; 0: the soft margin log(1 + exp(.))."
    )
    memory: int = setting(
        0, "Cross-batch memory: how many embeddings of earlier batches also form pairs and triplets; 0: none."
    )
    label_smoothing: float = setting(
        0.0, "Cross-entropy: share of the label that is spread over all classes, from 0 to below 1."
    )
    attribute: str = setting(
        "",
        "A second task: a CSV `photo,NAME` or `person,NAME` (photos as person/file). A second head on the same "
        "features learns its values. The first task alone decides which epoch is best.",
    )
    attribute_weight: float = setting(1.0, "Weight of the second task's cross-entropy; `loss` has weight 1.")
    teacher: tuple[str, ...] = setting(
        (),
        "A teacher whose embeddings the network imitates: an .npz of `names` and `embeddings`, or a FILE.onnx, a model "
        "folder or `default`, which is run on the augmented crops. May be given several times.",
    )
    teacher_loss: str = setting(
        "cosine + 10*relational",
        "What is imitated, terms joined by +: cosine, mse, relational, direct.",
    )
    teacher_weight: float = setting(1.0, "Weight of the teachers' mean loss; `loss` has weight 1.")
    unlabelled: str = setting(
        "",
        "A folder of more photos, of anybody. They come beside the others in every batch, and only the teacher says "
        "what they show. Needs a `teacher` that is run, or an .npz that holds these photos, too.",
    )
    unlabelled_share: float = setting(0.25, "Share of a batch that is `unlabelled`, above 0 and below 1.")

    # ---- how it is shown the photos
    people_per_batch: int | None = setting(
        None,
        f"P: people per batch, for losses that compare photos. Unless given: {PEOPLE_PER_BATCH}, or fewer where fewer "
        "people have K photos.",
    )
    photos_per_person: int = setting(4, "K: photos of each person in a batch; people with fewer photos are left out.")
    batch_size: int = setting(64, "Photos per batch, for losses that do not compare photos.")
    oversample: str = setting(
        "",
        "A CSV `photo,times` or `person,times` (photos as person/file): how often an epoch shows a photo, each time in "
        "another view. Photos that it does not name are shown once.",
    )
    train_size: int = setting(
        0,
        "Side of training photos in pixels: 80 costs half as much as 112. Validation uses `input_size`. 0: the same.",
    )
    strong_augmentation: bool = setting(
        False,
        "Augment more than by shift and mirror: turn, stretch, change light and colour, blur, lower the resolution, "
        "cover parts. Against overfitting.",
    )
    mix: float = setting(
        0.0,
        "Share of a batch's crops that are mixed with another crop, blended or cut along a line. Nobody looks like the "
        "result, so only a teacher that is run can label it: needs `loss` none.",
    )
    cache_on_device: bool = setting(
        False,
        "Keep the training crops on the GPU and augment them there. It pays where a GPU would wait for the CPU to read "
        "photos. The pixels differ by rounding.",
    )
    picture_views: str = setting(
        "scaled",
        "To classify: what a view shows. `scaled`: a random part of the picture, scaled, and mirrored half the time. "
        "`cut`: a random square of `input_size` pixels, as it is; the middle one validates.",
        ("scaled", "cut"),
    )
    views: int = setting(
        0, "How many augmented views of each photo there are, shown in turn; 0: a new view in every epoch."
    )
    cache_gb: float = setting(
        10.0,
        "Disk space in GB, in $FACEREC_CACHE, for the output of frozen stages, which is then computed once: for the "
        "validation photos and, with `views`, for the training photos. 0: nothing is kept.",
    )

    # ---- how it is optimised
    epochs: int = setting(10, "Passes over the training photos, unless `epoch_batches` makes them shorter.")
    epoch_batches: int = setting(
        0, "How many batches an epoch has at most, so that large folders are validated more often; 0: no limit."
    )
    minutes: float = setting(0.0, "Stop after so many minutes of training; validation does not count. 0: no limit.")
    early_stopping: int = setting(0, "Stop after so many epochs without a better validation score; 0: never.")
    optimizer: str = setting("adamw", "The optimiser. sgd has momentum 0.9.", ("adam", "adamw", "sgd", "adagrad"))
    lr: float = setting(3e-4, "Learning rate of the backbone's last stage.")
    head_lr: float = setting(1e-3, "Learning rate of the new layers (head, proxies, teacher projection).")
    weight_decay: float = setting(0.0, "Weight decay; adamw's is decoupled.")
    schedule: str = setting(
        "step",
        "How the learning rates change. `step`: x 0.1 every `step_epochs`. `plateau`: x 0.1 after `step_epochs` "
        "without a better validation score. `cosine`: a linear warm-up, then down to 0.",
        ("step", "cosine", "plateau"),
    )
    step_epochs: int = setting(7, "`step`: epochs between steps. `plateau`: epochs to wait.")
    warmup: float = setting(0.05, "`cosine`: share of the run that is warm-up.")
    accumulate: int = setting(1, "How many batches' gradients are averaged into one step.")
    clip_norm: float = setting(0.0, "Largest norm of a step's gradient; a larger one is scaled down. 0: no limit.")
    ema: float = setting(
        0.0, "Decay per step of a moving average of the weights; the average is validated and kept. 0: no average."
    )
    precision: str = setting(
        "auto",
        "`bf16` is autocast; `auto` uses it if the hardware has it. Emulated bf16 is up to hundreds of times slower.",
        ("auto", "bf16", "fp32"),
    )
    sync_batch_norm: bool = setting(
        False,
        "Several processes: compute BatchNorm's statistics over the whole batch, not over each process's share. Needs "
        "GPUs.",
    )

    # ---- how it is judged
    validation_fmr: float = setting(
        1e-3,
        "To tell people apart: epochs are compared by their TAR at this FMR. With few validation photos, give one that "
        "allows ten false matches or more.",
    )
    measure_train: bool = setting(
        False,
        "After each epoch also measure as many training people or photos as validate, in the same way: the gap between "
        "both is overfitting.",
    )

    # ---- the run
    checkpoint_minutes: float = setting(
        3.0, "A checkpoint is written at least this often, and at the end of each epoch."
    )
    limit_people: int | None = setting(None, "Train on so many people or classes only, chosen by the seed; for trials.")
    tensorboard: bool = setting(False, "Also write the run for TensorBoard (needs the extra `tensorboard`).")
    seed: int = setting(0, "Seed of everything random: the same seed gives the same run on the same machine.")
    data_seed: int | None = setting(
        None,
        "Seed of what validates and of the views; unless given, `seed`. Runs that differ in `seed` alone are then "
        "judged by the same photos and share the stored output of frozen stages.",
    )

    def __post_init__(self) -> None:
        require_types(self)
