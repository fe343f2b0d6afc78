"""The network a training run starts with."""

from collections.abc import Sequence

from facerec.models.checkpoint import load_model
from facerec.models.network import METRIC, Network
from facerec.training.plan import TrainPlan
from facerec.training.start import require_places
from facerec.training.tasks import SecondTask


def start_network(plan: TrainPlan, classes: Sequence[str], second: SecondTask | None = None) -> Network:
    """The network training begins with: the weights of ImageNet, random ones, or those of the start model.

    classes: the names of the logits, none for an embedding. second: the second task, if any.
    Of the start model the stages are always taken. Its heads are taken where they give what is to be learned: an
    embedding, these very classes, this very attribute. Raises ModelError where weights cannot be had, ConfigError
    where a flat head for these classes was made for another input size.
    """
    settings = plan.settings
    network = Network(
        settings.backbone,
        settings.embedding_dim if settings.mode == METRIC else len(classes),
        mode=settings.mode,
        kept_stages=settings.kept_stages,
        head_layers=settings.head_layers,
        input_size=plan.input_size,
        pooling=settings.pooling,
        dropped_blocks=plan.dropped_blocks,
        attributes=len(second.classes) if second else 0,
        pretrained=plan.pretrained,
    )
    if plan.start is None:
        return network
    known, _ = load_model(plan.start.folder)
    known.drop_blocks(plan.dropped_blocks)
    network.stages.load_state_dict(known.stages.state_dict())
    network.mean, network.std = known.mean, known.std  # a float16 model learned with rounded ones
    if plan.start.fits_head(settings, classes):
        require_places(plan.start, plan.input_size)
        network.head.load_state_dict(known.head.state_dict())
    if second and plan.start.tells(second.attribute, second.classes) and known.width == network.width:
        network.attribute_head = known.attribute_head
    return network


def starts_whole(plan: TrainPlan, classes: Sequence[str], second: SecondTask | None = None) -> bool:
    """Whether the network starts as a model that can be used as it is: the start model's stages and its heads."""
    if plan.start is None or (second is not None and not plan.start.tells(second.attribute, second.classes)):
        return False
    return plan.start.fits_head(plan.settings, classes)
