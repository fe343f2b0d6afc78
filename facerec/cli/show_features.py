"""`facerec show-features`."""

from pathlib import Path
from typing import Any

import click

from facerec.cli import common, detector_options, path_types


@common.command(needs="train")
@click.argument("photo", type=path_types.PHOTO)
@click.option("--layer", required=True, metavar="STAGE", help="A stage of the backbone; facerec models lists them.")
@click.option(
    "--output", required=True, type=path_types.PATH, metavar="PNG", help="The picture to write; must be a new file."
)
@click.option(
    "--against", type=path_types.PHOTO, metavar="PHOTO",
    help="Show which parts of the face make it similar to the face in this photo.",
)  # fmt: skip
@detector_options.face_options
@common.layers_option
@common.json_option
def show_features(
    photo: Path, layer: str, output: Path, against: Path | None, model: str | None, as_json: bool, **faces: Any
) -> None:
    """Draw what a stage of a network sees in a photo.

    The picture shows four things: the network's input; a Grad-CAM map (Selvaraju et al. 2017); the filters of the first
    layer; and the stage's channels that respond most. The map marks the places that speak for the likeliest class (a
    model of --mode classify), for the likeness to the face in --against, for the face's own embedding (a face model
    without --against), or for the picture's own features (a backbone).

    \b
    facerec show-features bee.jpg --model models/insects --layer stage3 --output bee.png
    facerec show-features bee.jpg --model resnet50 --layer layer3 --output bee.png
    facerec show-features ann.jpg --layer layer3 --against "people/Ann Lee/1.jpg" --output ann.png
    """
    from facerec.features import saliency_sheet
    from facerec.inference.loading import load_layers
    from facerec.photos.drawing import sheet_format, write_sheet

    sheet_format(output)
    network, card, _ = load_layers(model)
    if against is not None:
        saliency_sheet.require_faces(card)
    if detector := detector_options.detector_for(card, **faces):
        sight = saliency_sheet.look_at_face(photo, network, layer, detector, against, card.mirrored)
    else:
        sight = saliency_sheet.look_at_picture(photo, network, layer)
    subject = saliency_sheet.decision(sight, card, against)
    title = f"{common.one_line(Path(photo.name))} in {card.name}"
    write_sheet(saliency_sheet.draw_sheet(sight, title, layer, subject), output)
    channels = saliency_sheet.strongest(sight.maps)
    for remark in () if as_json else sight.remarks:
        common.remark(remark)
    if as_json:
        common.emit(
            {
                "image": str(photo),
                "layer": layer,
                "output": str(output),
                "decision": subject,
                "score": sight.score,
                "channels": channels,
                "model": card.name,
                "model_fingerprint": card.fingerprint,
            }
            | common.remarks_json(sight.remarks)
        )
    else:
        click.echo(f"{common.one_line(output)}: {layer} of {card.name}; Grad-CAM of {subject}")
