"""`facerec advise`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facerec.cli import common, path_types
from facerec.cli.offers import some
from facerec.cli.progress import show_progress
from facerec.errors import ConfigError
from facerec.models.names import NAMES
from facerec.models.places import SHIPPED
from facerec.training.settings import TrainSettings

if TYPE_CHECKING:  # slow to import
    from facerec.training.advise import Advice


@common.command(needs="train")
@click.argument("folder", type=path_types.FOLDER)
@click.option("--aligned", is_flag=True, help="FOLDER holds aligned face crops, one folder per person.")
@click.option(
    "--backbone", "--model", "backbone", default=TrainSettings().backbone, show_default=True, metavar="NAME",
    shell_complete=some(NAMES),
    help="The backbone to train; facerec models lists them.",
)  # fmt: skip
@click.option(
    "--input-size", type=click.IntRange(32, 2048), metavar="PIXELS",
    help="Side of the network's input in pixels  [default: as for train]",
)  # fmt: skip
@common.json_option
def advise(folder: Path, aligned: bool, backbone: str, input_size: int | None, as_json: bool) -> None:
    """Say which part of a network to train, and why.

    FOLDER holds your photos, one folder per class (with --aligned: per person). The advice depends on how many photos
    there are and how much they are like ImageNet's (CS231n, "Transfer learning"). To measure the likeness, a linear
    classifier learns your classes from the ImageNet network's features, at several depths. Nothing else is trained.

    \b
    facerec advise flowers/train --backbone mobilenet_v2
    facerec advise crops/ --aligned --json
    """
    from facerec.datasets.photo_sets import read_photos
    from facerec.models.network import Network
    from facerec.training.advise import advise as look_at
    from facerec.training.advise import command_for

    _require_backbone(backbone)
    photos = read_photos(folder)
    mode = "metric" if aligned else "classify"
    network = Network(backbone, 2, mode=mode, input_size=input_size or 0, pretrained=True).eval()
    advice, failures = look_at(
        photos, network, faces=aligned, watch=lambda paths, total: show_progress(paths, "Looking", total)
    )
    for failure in failures:
        common.warn(failure)
    command = command_for(advice, folder, network, faces=aligned)
    if as_json:
        common.emit({"folder": str(folder), "backbone": backbone, **advice.to_json(), "command": command})
    else:
        click.echo(_as_text(advice, folder, backbone, command))
    common.finish(len(failures), 1)


def _require_backbone(name: str) -> None:
    """Raise ConfigError unless `name` is a backbone. A trained model is none: the advice is for ImageNet weights."""
    from facerec.models.backbones import BACKBONES, find_backbone

    if name not in BACKBONES and (name in SHIPPED or os.path.exists(name)):
        raise ConfigError(
            f"{name}: a trained model, but the advice is for a backbone with ImageNet weights; give a backbone's name"
        )
    find_backbone(name)


def _as_text(advice: "Advice", folder: Path, backbone: str, command: str) -> str:
    from facerec.training.advise import ALIKE, MUCH

    a = advice
    each = f"{a.fewest}" if a.fewest == a.most else f"{a.fewest} to {a.most}"
    better = f"but {a.earlier}'s are better" if a.earlier else "and no earlier ones are better"
    wide = max(len(depth.stage) for depth in a.depths)
    probes = [
        f"  {d.stage:<{wide}} {_percent(d.accuracy)} % ({_percent(d.ci95[0])} to {_percent(d.ci95[1])})"
        for d in a.depths
    ]
    return "\n".join(
        [
            f"{common.one_line(folder)}: {a.photos:,} photos in {a.classes:,} folders, {each} in each; "
            f"{MUCH:,} or more are much",
            f"accuracy of a linear classifier on frozen features of {backbone}, for {a.probed_photos:,} photos of "
            f"{a.probed_classes} folders, chance {_percent(a.chance)} %:",
            *probes,
            f"the last features bring {_percent(a.similarity)} % of the way from chance to certainty "
            f"({_percent(ALIKE)} or more: like ImageNet's), {better}",
            f"{a.reason}:",
            f"  {command}",
        ]
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
