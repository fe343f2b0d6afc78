"""What a training run starts from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from facerec.errors import ConfigError
from facerec.inference.loading import SHIPPED_MODEL
from facerec.models.card import ModelCard, read_card
from facerec.models.checkpoint import CARD, load_model
from facerec.models.network import FLAT, METRIC, Network
from facerec.settings import split_names
from facerec.training.settings import TrainSettings
from facerec.training.tasks import SecondTask


def start_folder(settings: TrainSettings) -> Path | None:
    """The model folder a run starts from, None where that is ImageNet's or random weights."""
    if settings.init in ("imagenet", "random"):
        return None
    return SHIPPED_MODEL if settings.init == "default" else Path(settings.init)


def start_form(settings: TrainSettings) -> dict[str, Any]:
    """The settings that make a network of the form of the model it starts from; empty without one.

    Of a model of the other mode, or that classifies, only the backbone's: the head will be a new one.
    """
    start = start_folder(settings)
    if start is None or settings.strategy == "scratch":  # which takes nothing over, and no --init either
        return {}
    card = read_card(start / CARD)
    form: dict[str, Any] = {"backbone": card.backbone, "kept_stages": card.kept_stages}
    form["drop_blocks"] = ",".join(card.dropped_blocks)
    if card.mode == settings.mode:
        form["input_size"] = card.input_size
    if card.mode == settings.mode == METRIC:
        form |= {"embedding_dim": card.embedding_dim, "head_layers": card.head_layers, "pooling": card.pooling}
    return form


def require_places(start: Path, known: int, asked: int) -> None:
    """Raise ConfigError unless a flat head that is to be taken over gets pictures of the size it knows, in pixels."""
    if asked != known:
        raise ConfigError(
            f"{start}: has flat pooling, which knows the places of {known} pixels; give --input-size {known}"
        )


def start_network(settings: TrainSettings, classes: Sequence[str], second: SecondTask | None = None) -> Network:
    """The network training begins with: ImageNet or random weights, or those of a model folder.

    A model folder's heads stay where they give what is to be learned, the very classes or attribute or an embedding,
    else only its stages are taken. Raises ConfigError when its backbone, or its input size and none was asked for, is
    another.
    """
    pretrained = settings.init == "imagenet" and settings.strategy != "scratch"
    dim = settings.embedding_dim if settings.mode == METRIC else len(classes)
    options: dict[str, Any] = {name: getattr(settings, name) for name in ("kept_stages", "head_layers", "pooling")}
    options["dropped_blocks"] = split_names(settings.drop_blocks)
    options |= {"input_size": settings.input_size, "attributes": len(second.classes) if second else 0}
    network = Network(settings.backbone, dim, mode=settings.mode, pretrained=pretrained, **options)
    if (start := start_folder(settings)) is not None:
        _start_from(network, start, classes, second, any_size=settings.input_size > 0)
    _require_room(network, settings.train_size or network.input_size)
    _require_room(network, network.input_size)
    return network


def starts_whole(settings: TrainSettings, classes: Sequence[str], second: SecondTask | None = None) -> bool:
    """Whether the network begins as a model that can be used as it is: a model folder's stages and its heads."""
    if (start := start_folder(settings)) is None:
        return False
    card = read_card(start / CARD)
    if second is not None and not _tells(card, second):
        return False
    return (card.mode, card.classes, card.head_layers) == (settings.mode, list(classes), settings.head_layers)


@torch.no_grad()
def _require_room(network: Network, size: int) -> None:
    """Raise ConfigError when pixels of this size are too few for the backbone to make features of."""
    try:
        network.eval().prefix(torch.zeros(1, 3, size, size), len(network.stages))
    except RuntimeError as error:  # a kernel or a pool larger than what is left of the picture
        raise ConfigError(
            f"{size} pixels are too few for {network.backbone}; give a larger --train-size or --input-size"
        ) from error


def _tells(card: ModelCard, second: SecondTask) -> bool:
    return (card.attribute, card.attribute_values) == (second.attribute, list(second.classes))


def _start_from(
    network: Network, folder: Path, classes: Sequence[str], second: SecondTask | None, *, any_size: bool
) -> None:
    start, card = load_model(folder)
    if (start.backbone, start.kept_stages) != (network.backbone, network.kept_stages):
        raise ConfigError(
            f"{folder}: holds {_shown(start)}; give --backbone {start.backbone} --kept-stages {start.kept_stages}"
        )
    if missing := set(start.dropped_blocks) - set(network.dropped_blocks):
        raise ConfigError(
            f"{folder}: is without the block {min(missing)}; give --drop-blocks {','.join(start.dropped_blocks)}"
        )
    start.drop_blocks(network.dropped_blocks)
    same_mode = start.mode == network.mode
    if same_mode and not any_size and start.input_size != network.input_size:
        raise ConfigError(f"{folder}: was trained at {start.input_size} pixels; give --input-size {start.input_size}")
    if same_mode and network.mode == METRIC and _form(start) != _form(network):
        raise ConfigError(
            f"{folder}: holds {_shown(start)}; give --backbone {start.backbone} --embedding-dim {card.embedding_dim} "
            f"--head-layers {card.head_layers} --pooling {card.pooling}"
        )
    network.stages.load_state_dict(start.stages.state_dict())
    network.mean, network.std = start.mean, start.std  # of a float16 model: rounded, and part of what it learned with
    if same_mode and _form(start) == _form(network) and card.classes == list(classes):
        if network.pooling == FLAT:
            require_places(folder, start.input_size, network.input_size)
        network.head.load_state_dict(start.head.state_dict())
    if second and _tells(card, second) and start.width == network.width:
        network.attribute_head = start.attribute_head


def _form(network: Network) -> tuple[int, int, str]:
    """What decides whether a head fits."""
    return network.dim, network.head_layers, network.pooling


def _shown(network: Network) -> str:
    kept = f"{network.kept_stages} stages of " if network.kept_stages else ""
    return f"{kept}a {network.backbone} with {network.dim} dimensions"
