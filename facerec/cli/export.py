"""`facerec export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common, detector_options, path_types

if TYPE_CHECKING:
    from facerec.inference.export import Exported


@common.command(needs="train")
@common.model_option
@click.option("--format", type=click.Choice(["onnx", "openvino"]), required=True, help="The kind of file to write.")
@click.option(
    "--precision", type=click.Choice(["fp32", "int8"]), default="fp32", show_default=True,
    help="int8 is a quarter of the size, faster on a CPU and a little less exact. Only for openvino; needs "
    "the extra `export`.",
)  # fmt: skip
@click.option(
    "--output", type=path_types.PATH, required=True, metavar="DIR",
    help="The folder to write to: fp32.onnx, fp32.xml or int8.xml, the model's card and its strangers.",
)  # fmt: skip
@click.option(
    "--images", type=path_types.FOLDER, metavar="DIR",
    help="Check the file with the main faces of these photos. int8 is also calibrated with them, best with some "
    "hundred  [default: six faces that come with facerec]",
)  # fmt: skip
@detector_options.face_options
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
    """Write a model as a file that runs without torch.

    The file is checked against the model. Both embed the same faces. For every pair of faces their distances may differ
    by at most 0.0001 for fp32 and 0.1 for int8 (distances go from 0 to 4); otherwise nothing is written. The file is a
    model of its own: facerec gallery migrate moves a gallery to it.

    \b
    facerec export --format onnx --output exported
    facerec export --model models/mine --format openvino --precision int8 --images people/ --output exported
    """
    from facerec.inference.export import crops_of, export_model, sample_crops

    def found(side: int) -> Any:
        if images is None:
            return sample_crops(side)
        return crops_of(images, detector_options.make_detector(**faces, crop_size=side))

    common.remark("Writing the file and checking it ...")
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
