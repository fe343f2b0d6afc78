"""Model folders (`model.json` and `weights.safetensors`), and files of the state of a training run. No pickle."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from facerec.errors import ConfigError, ModelError, TrainingError
from facerec.files import replacing
from facerec.models.backbones import BACKBONES, find_backbone
from facerec.models.card import ALIGNMENTS, ModelCard, read_card, write_card
from facerec.models.converted import remove_stale
from facerec.models.network import CLASSIFY, METRIC, Network
from facerec.models.places import CARD
from facerec.models.weights import WEIGHTS, fingerprint, foreign, unreadable


def describe(
    network: Network, name: str, classes: Sequence[str] = (), attribute: tuple[str, Sequence[str]] = ("", ())
) -> ModelCard:
    """A card with what follows from the network itself, and these names.

    name: of the model. classes: of mode "classify". attribute: what the second head tells, and its values.
    """
    row = find_backbone(network.backbone)
    return ModelCard(
        name=name,
        embedding_dim=network.dim,
        input_size=network.input_size,
        mean=row.mean,
        std=row.std,
        alignment=ALIGNMENTS[network.mode],
        mode=network.mode,
        classes=list(classes),
        attribute=attribute[0],
        attribute_values=list(attribute[1]),
        backbone=network.backbone,
        kept_stages=network.kept_stages,
        dropped_blocks=list(network.dropped_blocks),
        head_layers=network.head_layers,
        pooling=network.pooling,
        mirrored=network.mode == METRIC,
    )


def network_of(card: ModelCard) -> Network:
    """The network that a card describes, with random weights."""
    return Network(
        card.backbone,
        card.embedding_dim,
        mode=card.mode,
        kept_stages=card.kept_stages,
        dropped_blocks=card.dropped_blocks,
        head_layers=card.head_layers,
        pooling=card.pooling,
        attributes=len(card.attribute_values),
        input_size=card.input_size,
    )


def _stored(network: Network, dtype: torch.dtype) -> dict[str, Tensor]:
    return {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }


def _fingerprint(card: ModelCard, tensors: dict[str, Tensor]) -> str:
    return fingerprint(
        card,
        (
            (name, str(tensor.dtype), tuple(tensor.shape), tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
            for name, tensor in sorted(tensors.items())
        ),
    )


def save_model(network: Network, folder: Path, card: ModelCard, dtype: torch.dtype = torch.float32) -> ModelCard:
    """Write a model folder and return its card, with the fingerprint. Weights are stored as `dtype`.

    The stored values define the model: what is saved as float16 is the float16 model from then on. A converted file of
    other weights goes. Raises ModelError if
    the weights cannot be written, OSError for the card.
    """
    tensors = _stored(network, dtype)
    card = dataclasses.replace(card, fingerprint=_fingerprint(card, tensors))
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale(folder, card)
    _write_tensors(tensors, folder / WEIGHTS)
    write_card(card, folder / CARD)
    return card


def load_model(folder: Path, drop_blocks: Sequence[str] = ()) -> tuple[Network, ModelCard]:
    """Read a model folder: the network, in eval mode with float32 weights, and its card.

    drop_blocks: residual blocks to drop, besides those that the model lacks already. The card then describes the
    smaller network: it has a fingerprint of its own, and lacks what was measured with the whole network.
    Raises ModelError if a file is missing or broken, or if weights and card do not belong together; ConfigError for a
    block that does not exist.
    """
    card = read_card(folder / CARD)
    tensors = _read_tensors(folder / WEIGHTS)
    if _fingerprint(card, tensors) != card.fingerprint:
        raise foreign(folder)
    if card.backbone not in BACKBONES:
        raise ModelError(
            f"{folder}: no backbone '{card.backbone}' in this facerec; upgrade it, or copy the folder again"
        )
    try:
        network = network_of(card)
        network.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in tensors.items()})
    except (RuntimeError, ConfigError) as error:
        raise ModelError(f"{folder}: weights do not fit a {card.backbone}; the folder is incomplete") from error
    if drop_blocks:
        network.drop_blocks(drop_blocks)
        card = _smaller(card, network, tensors)
    return network.eval(), card


def load_pretrained(backbone: str, input_size: int = 0) -> tuple[Network, ModelCard]:
    """A backbone with its authors' weights, in eval mode, and a card for it.

    It has no head; its output is the features of its last stage. input_size: pixels a side of its pictures; 0: what it
    was trained on. Raises ModelError if the weights are not in torch's cache and cannot be downloaded.
    """
    width = find_backbone(backbone).width
    network = Network(backbone, width, mode=CLASSIFY, input_size=input_size, pretrained=True)
    network.head = nn.Sequential()
    card = describe(network, backbone)
    return network.eval(), dataclasses.replace(card, fingerprint=_fingerprint(card, _stored(network, torch.float32)))


def _smaller(card: ModelCard, network: Network, tensors: dict[str, Tensor]) -> ModelCard:
    """The card of a network that dropped some blocks, made from the card and the tensors of the whole network."""
    card = dataclasses.replace(card, dropped_blocks=list(network.dropped_blocks), threshold={}, results={})
    left = {name: tensors[name] for name in network.state_dict()}
    return dataclasses.replace(card, fingerprint=_fingerprint(card, left))


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error


def _write_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    try:
        with replacing(path) as draft:
            save_file(tensors, draft, metadata)
    except (SafetensorError, OSError) as error:
        reason = f"{path}: cannot be written ({error}); free its disk or make its folder writable"
        raise ModelError(reason) from error


def save_state(
    path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, facts: dict[str, Any]
) -> None:
    """Write what a run needs to continue exactly: weights, the optimiser's state and `facts` (JSON).

    The file is written whole or not at all. Raises ModelError if it cannot be written.
    """
    tensors = {f"{name}/{key}": t for name, module in modules.items() for key, t in module.state_dict().items()}
    state = optimizer.state_dict()["state"]
    tensors |= {f"optimizer/{i}/{key}": t for i, entries in state.items() for key, t in entries.items()}
    stored = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    _write_tensors(stored, path, {"facts": json.dumps(facts)})


def load_state(path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Load what `save_state` wrote into the modules and the optimiser; return `facts`.

    Raises TrainingError if the file is missing, broken or of another network.
    """
    try:
        tensors = load_file(path)
        for name, module in modules.items():
            module.load_state_dict(_under(tensors, f"{name}/"))
    except FileNotFoundError as error:
        raise TrainingError(f"{path}: no such file; nothing to resume, start without `resume`") from error
    except (SafetensorError, OSError, RuntimeError) as error:
        raise TrainingError(f"{path}: cannot be resumed from (broken, or of another network)") from error
    entries: dict[int, dict[str, Tensor]] = {}
    for key, tensor in _under(tensors, "optimizer/").items():
        index, _, field = key.partition("/")
        entries.setdefault(int(index), {})[field] = tensor
    optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
    return read_facts(path)


def load_module(path: Path, name: str, module: nn.Module) -> bool:
    """Load one module of another run's state; return False if there is no such file, or if its tensors do not fit."""
    if not path.exists():
        return False
    own = {key: tensor.shape for key, tensor in module.state_dict().items()}
    stored = _under(_read_tensors(path), f"{name}/")
    if {key: tensor.shape for key, tensor in stored.items()} != own:
        return False
    module.load_state_dict(stored)
    return True


def read_facts(path: Path) -> dict[str, Any]:
    """The `facts` in a file that `save_state` wrote; the tensors are not read."""
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["facts"])


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
