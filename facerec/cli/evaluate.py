"""`facerec evaluate`: measure a model. facerec.evaluation.runs does the work."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common, detector_options, path_types
from facerec.cli.progress import show_progress
from facerec.cli.tables import show_tables
from facerec.settings import split_names

if TYPE_CHECKING:  # imported when needed
    from facerec.evaluation.runs import Run, RunSettings


class EvaluateCommand(common.FacerecCommand):
    """A command that keeps its command line in `ctx.obj`, for the report."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments before click parses them."""
        ctx.obj = f"{ctx.command_path} {shlex.join(args)}"
        return super().parse_args(ctx, args)


class EvaluateGroup(click.Group):
    """A group of EvaluateCommands."""

    command_class = EvaluateCommand


groups_option = click.option(
    "--groups", type=path_types.FILE, metavar="FILE",
    help="A CSV with lines PHOTO,GROUP or PERSON,GROUP: also report every figure for each group.",
)  # fmt: skip
skip_option = click.option(
    "--skip-missing", is_flag=True,
    help="Leave out photos that are missing or cannot be read, and count them, instead of refusing.",
)  # fmt: skip
report_option = click.option(
    "--report", type=path_types.PATH, metavar="DIR",
    help="Write DIR/report.html: figures, plots and pictures of the worst errors on one page.",
)  # fmt: skip
drop_option = click.option(
    "--drop-blocks", default="", callback=lambda _, __, text: split_names(text), metavar="NAME,NAME...",
    help="Leave out these residual blocks of a ResNet, such as layer1.1,layer3.2. Their shortcuts stay.",
)  # fmt: skip


def _read_sizes(_: click.Context, __: click.Parameter, text: str | None) -> list[int]:
    parts = text.split(",") if text else []
    if not all(part.strip().isdecimal() and len(part) < 10 for part in parts):
        raise click.BadParameter(f"'{text}'; write whole numbers of people, as in 10,40,100")
    return sorted({int(part) for part in parts})


@click.group(cls=EvaluateGroup)
def evaluate() -> None:
    """Measure how often a model is right.

    verification: are two photos of one person? identification: who is it, or is it a stranger? classification: which
    class is it? The first two also take shards in place of photos.

    \b
    facerec evaluate verification --images lfw --pairs lfw_pairs.txt
    facerec evaluate identification --gallery-images people --probe-images party
    facerec evaluate classification --images flowers/test --model models/flowers
    facerec evaluate classification --images party --attribute glasses.csv --model models/two
    """


@evaluate.command()
@click.option(
    "--images",
    required=True,
    type=path_types.FOLDER,
    metavar="DIR",
    help="The folder of the photos that the pairs name.",
)
@click.option(
    "--pairs", required=True, type=path_types.FILE, metavar="FILE", help="LFW's pairs.txt, or a CSV a,b,same[,fold]."
)
@groups_option
@skip_option
@report_option
@detector_options.face_options
@drop_option
@common.model_option
@common.json_option
def verification(images: Path, pairs: Path, groups: Path | None, as_json: bool, **settings: Any) -> None:
    """Measure on pairs of photos: one person or two?

    Reports the accuracy over folds, ROC AUC, EER, and TAR at fixed FMR. Every figure has a 95 % interval over people.
    A line of --groups names a photo of the pairs or a person (a photo's folder). Pairs across two groups are reported
    apart.

    \b
    facerec evaluate verification --images lfw --pairs lfw_pairs.txt --json
    facerec evaluate verification --images lfw --pairs lfw_pairs.txt --groups groups.csv --report report
    facerec evaluate verification --images lfw --pairs lfw_pairs.txt --drop-blocks layer1.1,layer3.2
    """
    from facerec.evaluation import runs

    _show(runs.verification(images, pairs, groups, _settings(**settings)), as_json)


@evaluate.command()
@click.option(
    "--gallery-images",
    required=True,
    type=path_types.FOLDER,
    metavar="DIR",
    help="The folder of people to enroll, with one folder per person.",
)
@click.option(
    "--probe-images", required=True, type=path_types.FOLDER, metavar="DIR",
    help="The folder of people to search for, with one folder per person. People without a folder in --gallery-images "
    "are strangers.",
)  # fmt: skip
@click.option(
    "--gallery-sizes", callback=_read_sizes, metavar="N,N...",
    help="Also report the mean over random galleries of N people; the other people are then strangers.",
)  # fmt: skip
@groups_option
@skip_option
@report_option
@detector_options.face_options
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
    """Measure searches by people, enrolled and strangers.

    Reports how many enrolled people are missed (FNIR) at fixed shares of strangers who are taken for somebody (FPIR),
    with 95 % intervals over searchers. Your gallery is not touched. People whose photos cannot be enrolled still count:
    their searches miss. A line of --groups names a photo in --probe-images or a person; figures are by the searcher's
    group. With --drop-blocks there is no gallery threshold, because the model's threshold and strangers belong to the
    whole network.

    \b
    facerec evaluate identification --gallery-images people --probe-images party --json
    facerec evaluate identification --gallery-images people --probe-images party --gallery-sizes 10,40 --report report
    """
    from facerec.evaluation import runs

    _show(runs.identification(gallery_images, probe_images, gallery_sizes, groups, _settings(**settings)), as_json)


@evaluate.command(needs="train")
@click.option(
    "--images",
    required=True,
    type=path_types.FOLDER,
    metavar="DIR",
    help="The folder of photos, with one folder per class.",
)
@click.option(
    "--attribute", type=path_types.FILE, metavar="FILE",
    help="A CSV as for train --attribute: measure that attribute instead of the class.",
)  # fmt: skip
@skip_option
@report_option
@detector_options.face_options
@drop_option
@common.classifier_option
@common.json_option
def classification(images: Path, attribute: Path | None, as_json: bool, **settings: Any) -> None:
    """Measure the classes that a model gives to photos.

    Reports the accuracy, ROC AUC and which class is taken for which, with 95 % intervals over photos. Photos that
    cannot be read are refused, or left out with --skip-missing. With --attribute, the folders may be of classes or of
    people, and the answers of the model's second head are compared with FILE. A photo or person that FILE names and DIR
    lacks is missing. If the model embeds faces, it reads the main face of each photo, a photo without a usable face
    counts as a wrong answer, and intervals are over people.

    \b
    facerec evaluate classification --images flowers/test --model models/flowers --json
    facerec evaluate classification --images party --attribute glasses.csv --model models/two
    """
    from facerec.evaluation import runs

    _show(runs.classification(images, attribute, _settings(**settings)), as_json)


def _settings(
    model: str | None,
    drop_blocks: tuple[str, ...],
    skip_missing: bool,
    report: Path | None,
    aligned: bool,
    **faces: Any,
) -> "RunSettings":
    from facerec.evaluation.runs import RunSettings
    from facerec.faces.settings import DetectorSettings

    looks = DetectorSettings(**faces)
    return RunSettings(model, drop_blocks, aligned, looks, skip_missing, report, show_progress, common.remark)


def _show(run: "Run", as_json: bool) -> None:
    """Print the figures and what failed, write the report, and exit. Photos without a face make the exit code 1."""
    show_tables(run.line, as_json, run.tables)
    for line in run.failures.lines():
        common.warn(line)
    if remark := run.failures.remark():
        common.remark(remark)
    for message in run.failures.messages():
        common.detail(message)
    if (path := run.write_report(click.get_current_context().obj)) is not None:
        common.remark(f"The report is {path}")
    failures = run.failures
    failed, left_out = len(failures.no_face), len(failures.left_out)
    used = failures.photos - failed - left_out
    common.summarise(
        failures.photos, {"used": used} | ({"left out": left_out} if left_out else {}) | {"failed": failed}, as_json
    )
    common.finish(failed, used)
