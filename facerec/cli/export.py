"""`facerec export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common

if TYPE_CHECKING:
    from facerec.inference.export import Exported


@common.command()
@common.model_option
@click.option("--format", type=click.Choice(["onnx", "openvino"]), required=True, help="What kind of file to write.")
@click.option(
    "--precision", type=click.Choice(["fp32", "int8"]), default="fp32", show_default=True,
    help="int8 is for openvino: a quarter of the size, faster on a CPU, a little less exact. It needs facerec[export].",
)  # fmt: skip
@click.option(
    "--output", type=common.PHOTOS, required=True, metavar="DIR",
    help="The folder for fp32.onnx, fp32.xml or int8.xml, its card and its strangers.",
)  # fmt: skip
@click.option(
    "--images", type=common.PHOTOS, metavar="DIR",
    help="Check the file with the main faces of these photos, and calibrate int8 by them; some hundred are best  "
    "[default: six faces that come with facerec]",
)  # fmt: skip
@common.face_options
@common.json_option
def export(
    model: str | None,
    format: str,
    precision: str,
    output: Path,
    images: Path | None,
    as_json: bool,
    **faces: Any,
) -> None:
    """Write a model as a file that runs without torch, and check that its distances are the model's.

    Both embed the same faces. The largest difference of two faces' distances may be 0.0001 for fp32 and 0.1 for int8
    (distances go from 0 to 4). If it is larger, nothing is written. The file is a model of its own: a gallery of the
    old model is moved to it by facerec gallery migrate.

    \b
    facerec export --format onnx --output exported
    facerec export --model models/mine --format openvino --precision int8 --images people/ --output exported
    """
    from facerec.inference.export import crops_of, export_model, sample_crops

    def found(side: int) -> Any:
        return crops_of(images, common.make_detector(**faces, crop_size=side)) if images else sample_crops(side)

    common.warn("Writing the file and checking it ...")
    exported = export_model(model, output, format, precision, found)
    common.emit(_as_json(exported)) if as_json else click.echo(_as_text(exported))


def _as_json(exported: "Exported") -> dict[str, Any]:
    parity, card = exported.parity, exported.card
    return {
        "file": str(exported.path),
        "files": [str(path) for path in exported.files],
        "bytes": sum(path.stat().st_size for path in exported.files),
        "model": card.name,
        "model_fingerprint": card.fingerprint,
        "crops": parity.crops,
        "pairs": parity.pairs,
        "largest_difference": parity.largest,
        "mean_difference": parity.mean,
        "tolerance": parity.tolerance,
    }


def _as_text(exported: "Exported") -> str:
    parity, path = exported.parity, common.one_line(exported.path)
    size = sum(each.stat().st_size for each in exported.files) / 2**20
    return (
        f"{path}: {exported.card.name} ({exported.card.fingerprint}), {size:.1f} MiB\n"
        f"Distances of {parity.crops} faces differ from the model's by at most {parity.largest:.2g} "
        f"({parity.tolerance:g} is allowed).\n"
        f"Use it with --model {path}"
    )
