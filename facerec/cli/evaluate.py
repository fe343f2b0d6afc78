"""`facerec evaluate`: measure a model. What is done is in facerec.evaluation.runs."""

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common
from facerec.settings import split_names

if TYPE_CHECKING:  # imported when needed
    from facerec.evaluation.runs import Run, RunSettings


class EvaluateCommand(common.FacerecCommand):
    """Keeps its command line for the report, in `ctx.obj`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words before click takes them apart."""
        ctx.obj = f"{ctx.command_path} {shlex.join(args)}"
        return super().parse_args(ctx, args)


class EvaluateGroup(click.Group):
    """Its commands are EvaluateCommands."""

    command_class = EvaluateCommand


groups_option = click.option(
    "--groups", type=common.PHOTOS, metavar="FILE",
    help="CSV 'photo or person,group': report every figure for each group as well.",
)  # fmt: skip
report_option = click.option(
    "--report", type=common.PHOTOS, metavar="DIR",
    help="Write DIR/report.html, one page of figures, plots and pictures of the worst errors.",
)  # fmt: skip
drop_option = click.option(
    "--drop-blocks", default="", callback=lambda _, __, text: split_names(text), metavar="NAME,NAME...",
    help="Leave out these residual blocks of a ResNet, as in layer1.1,layer3.2; the shortcut around each stays.",
)  # fmt: skip


def _read_sizes(_: click.Context, __: click.Parameter, text: str | None) -> list[int]:
    parts = text.split(",") if text else []
    if not all(part.strip().isdecimal() and len(part) < 10 for part in parts):
        raise click.BadParameter(f"'{text}'; write whole numbers of people, as in 10,40,100")
    return sorted({int(part) for part in parts})


@click.group(cls=EvaluateGroup)
def evaluate() -> None:
    """Measure a model.

    \b
    facerec evaluate verification --images lfw --pairs lfw_pairs.txt
    facerec evaluate identification --gallery-images people --probe-images party
    facerec evaluate classification --images flowers/test --model models/flowers
    facerec evaluate classification --images party --attribute glasses.csv --model models/two
    """


@evaluate.command()
@click.option("--images", required=True, type=common.PHOTOS, metavar="DIR", help="The photos the pairs name.")
@click.option("--pairs", required=True, type=common.PHOTOS, metavar="FILE", help="LFW pairs.txt or CSV.")
@groups_option
@report_option
@common.face_options
@drop_option
@common.model_option
@common.json_option
def verification(images: Path, pairs: Path, groups: Path | None, as_json: bool, **settings: Any) -> None:
    """Pairs of photos: are they of one person? Accuracy over folds, ROC AUC, EER and TAR at fixed FMR.

    The pairs come from LFW's pairs.txt or a CSV. Every figure has a 95 % interval over people. A line of --groups names
    a photo of the pairs or a person (a photo's folder). Pairs whose photos are of two groups are reported apart.

    \b
    facerec evaluate verification --images lfw --pairs lfw_pairs.txt --json
    facerec evaluate verification --images lfw --pairs lfw_pairs.txt --groups groups.csv --report report
    facerec evaluate verification --images lfw --pairs lfw_pairs.txt --drop-blocks layer1.1,layer3.2
    """
    from facerec.evaluation import runs

    _show(runs.verification(images, pairs, groups, _settings(**settings)), as_json)


@evaluate.command()
@click.option("--gallery-images", required=True, type=common.PHOTOS, metavar="DIR", help="Identity folders to enroll.")
@click.option(
    "--probe-images", required=True, type=common.PHOTOS, metavar="DIR",
    help="Identity folders to search with; people without a folder in --gallery-images are strangers.",
)  # fmt: skip
@click.option(
    "--gallery-sizes", callback=_read_sizes, metavar="N,N...",
    help="Also draw random galleries of N of the people, the others being strangers, and report the means.",
)  # fmt: skip
@groups_option
@report_option
@common.face_options
@drop_option
@common.model_option
@common.json_option
def identification(
    gallery_images: Path,
    probe_images: Path,
    gallery_sizes: list[int],
    groups: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Open-set search: who is named, missed and wrongly named: FNIR at fixed FPIR, with 95 % intervals over searchers.

    No gallery is touched. People whose photos cannot be enrolled still count, and their searches miss. A line of
    --groups names a photo below --probe-images or a person; figures are by the searcher's group. With --drop-blocks
    the galleries have no threshold, because the model's threshold and strangers are those of the whole network.

    \b
    facerec evaluate identification --gallery-images people --probe-images party --json
    facerec evaluate identification --gallery-images people --probe-images party --gallery-sizes 10,40 --report report
    """
    from facerec.evaluation import runs

    _show(runs.identification(gallery_images, probe_images, gallery_sizes, groups, _settings(**settings)), as_json)


@evaluate.command()
@click.option("--images", required=True, type=common.PHOTOS, metavar="DIR", help="A folder of photos for each class.")
@click.option(
    "--attribute", type=common.PHOTOS, metavar="FILE",
    help="CSV as for train --attribute: measure how well the model tells that attribute, instead of the class.",
)  # fmt: skip
@report_option
@common.face_options
@drop_option
@common.classifier_option
@common.json_option
def classification(images: Path, attribute: Path | None, as_json: bool, **settings: Any) -> None:
    """Class folders: accuracy, ROC AUC and which class is taken for which, with 95 % intervals over photos.

    With --attribute the folders are of classes or people. The answers of the model's second head are compared with what
    FILE says of the photos. If the model embeds faces, the main face of each photo is read and intervals are over
    people. A photo that cannot be used counts as a wrong answer.

    \b
    facerec evaluate classification --images flowers/test --model models/flowers --json
    facerec evaluate classification --images party --attribute glasses.csv --model models/two
    """
    from facerec.evaluation import runs

    _show(runs.classification(images, attribute, _settings(**settings)), as_json)


def _settings(
    model: str | None, drop_blocks: tuple[str, ...], report: Path | None, aligned: bool, **faces: Any
) -> "RunSettings":
    from facerec.evaluation.runs import RunSettings
    from facerec.faces.settings import DetectorSettings

    return RunSettings(model, drop_blocks, aligned, DetectorSettings(**faces), report, _watched, common.warn)


def _watched(photos: Iterable[Any], label: str, total: int) -> Iterator[Any]:
    """The photos behind a progress bar; what is wrong with one is said at once."""
    for photo in common.show_progress(photos, label, total):
        if photo.error is not None:
            common.warn(str(photo.error))
        yield photo


def _show(run: "Run", as_json: bool) -> None:
    """Print the figures, write the report, and exit as the photos that could not be used have it."""
    common.show_tables(run.line, as_json, run.tables)
    if (path := run.write_report(click.get_current_context().obj)) is not None:
        common.warn(f"The report is {path}")
    common.finish(run.failed, run.photos - run.failed)
