"""The model a run starts from, read once: its folder, its card, and whether the settings fit it."""

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facerec.errors import ConfigError
from facerec.models.card import ModelCard, read_card
from facerec.models.checkpoint import CARD
from facerec.models.cohort import load_cohort
from facerec.models.network import MEAN, METRIC
from facerec.models.places import SHIPPED_MODEL
from facerec.training.settings import TrainSettings


@dataclass(frozen=True, slots=True)
class StartModel:
    """The model folder whose weights a run starts from, and its card."""

    folder: Path
    card: ModelCard

    def fits_head(self, settings: TrainSettings, classes: Sequence[str]) -> bool:
        """Whether the model's head gives what is to be learned: an embedding, or the logits of these very classes."""
        known = (self.card.mode, self.card.head_layers, self.card.pooling, self.card.classes)
        return known == (settings.mode, settings.head_layers, settings.pooling, list(classes))

    def tells(self, attribute: str, values: Sequence[str]) -> bool:
        """Whether the model's second head tells this attribute, by the same values in the same order."""
        return (self.card.attribute, self.card.attribute_values) == (attribute, list(values))


def read_start(settings: TrainSettings) -> StartModel | None:
    """The model that `init` names; None for the weights of ImageNet, random ones, and the strategy scratch.

    Raises ModelError where there is no such model.
    """
    if settings.init in ("imagenet", "random") or settings.strategy == "scratch":
        return None
    folder = SHIPPED_MODEL if settings.init == "default" else Path(settings.init)
    return StartModel(folder, read_card(folder / CARD))


def take_form(settings: TrainSettings, card: ModelCard, chosen: Collection[str]) -> TrainSettings:
    """The settings with the form of the start model, but for those named in `chosen`.

    Of a model of the other mode only the backbone's form is taken: its head is of no use. Where another backbone, or
    another number of its stages, was chosen, the model's dropped blocks are not taken either.
    """
    form: dict[str, Any] = {"backbone": card.backbone, "kept_stages": card.kept_stages}
    if all(key not in chosen or getattr(settings, key) == form[key] for key in ("backbone", "kept_stages")):
        form["drop_blocks"] = ",".join(card.dropped_blocks)
    if card.mode == settings.mode:
        form["input_size"] = card.input_size
    if card.mode == settings.mode == METRIC:
        form |= {"embedding_dim": card.embedding_dim, "head_layers": card.head_layers, "pooling": card.pooling}
    return dataclasses.replace(settings, **{key: value for key, value in form.items() if key not in chosen})


def check_start(start: StartModel, settings: TrainSettings, dropped_blocks: Sequence[str], input_size: int) -> None:
    """Raise ConfigError where the settings make another network than the start model's, ModelError for bad strangers.

    dropped_blocks, input_size: of the network the run makes.
    """
    card, where = start.card, start.folder
    if (card.backbone, card.kept_stages) != (settings.backbone, settings.kept_stages):
        raise ConfigError(
            f"{where}: holds {_shown(card)}; give `backbone={card.backbone}` and `kept_stages={card.kept_stages}`"
        )
    if missing := set(card.dropped_blocks) - set(dropped_blocks):
        raise ConfigError(
            f"{where}: was trained without the block {min(missing)}; give `drop_blocks={','.join(card.dropped_blocks)}`"
        )
    if card.mode != settings.mode:
        return
    if not settings.input_size and card.input_size != input_size:
        raise ConfigError(f"{where}: was trained at {card.input_size} pixels; give `input_size={card.input_size}`")
    if card.mode == METRIC:
        _check_embedder(start, settings)
        require_places(start, input_size)
        load_cohort(where, card)  # the run keeps them where no epoch betters the model


def _check_embedder(start: StartModel, settings: TrainSettings) -> None:
    card = start.card
    form = (card.embedding_dim, card.head_layers, card.pooling)
    if form != (settings.embedding_dim, settings.head_layers, settings.pooling):
        raise ConfigError(
            f"{start.folder}: holds {_shown(card)}; give `embedding_dim={card.embedding_dim}`, "
            f"`head_layers={card.head_layers}` and `pooling={card.pooling}`"
        )


def require_places(start: StartModel, input_size: int) -> None:
    """Raise ConfigError where the start model's head has flat pooling and was made for pixels of another size."""
    known = start.card.input_size
    if start.card.pooling != MEAN and input_size != known:
        what = f"has {start.card.pooling} pooling, made for {known} pixels"
        raise ConfigError(f"{start.folder}: {what}; give `input_size={known}`")


def _shown(card: ModelCard) -> str:
    kept = f"{card.kept_stages} stages of " if card.kept_stages else ""
    return f"{kept}a {card.backbone} with {card.embedding_dim} dimensions"
