"""`facerec gallery migrate`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facerec.cli import common, detector_options, path_types
from facerec.cli.offers import some
from facerec.cli.progress import show_progress
from facerec.faces.settings import DETECTORS
from facerec.gallery.address import Place
from facerec.models.places import SHIPPED
from facerec.text import how_many, printable

if TYPE_CHECKING:
    from facerec.evaluation.self_search import Rate, SelfSearch
    from facerec.recognition.migrate import Loss, Report, Step

TELLING = 0.2  # a rate with a wider interval says nothing


@common.command()
@click.option(
    "--model", required=True, type=path_types.MODEL, metavar="DIR|FILE|NAME",
    shell_complete=some(tuple(SHIPPED), or_file=True),
    help="The new model.",
)  # fmt: skip
@click.option(
    "--dry-run",
    is_flag=True,
    help="Embed and show the error rates, but change nothing. The real run then takes a moment.",
)
@click.option(
    "--leave-out",
    is_flag=True,
    help="Leave out photos that cannot be migrated. Without it, one such photo stops the migration.",
)
@click.option(
    "--photos", type=path_types.FOLDER, metavar="DIR",
    help="A folder to look in for photos that were moved since they were enrolled. They are known by their content.",
)  # fmt: skip
@click.option(
    "--detector", type=click.Choice(DETECTORS),
    help="The new detector: every face is cut anew from its photo  [default: the gallery's own stays]",
)  # fmt: skip
@detector_options.size_options
@common.gallery_option
@common.json_option
def migrate(
    model: str,
    dry_run: bool,
    leave_out: bool,
    photos: Path | None,
    detector: str | None,
    gallery_folder: Place,
    as_json: bool,
    **faces: Any,
) -> None:
    """Move the gallery to another model, or to another detector.

    Every face is embedded again: from its crop if the gallery keeps crops, else from its photo. The error rates of the
    gallery (FNIR and FPIR) are shown for both models. If a photo cannot be used, it is named and nothing is changed.
    If a run is killed, the next one continues it. `facerec gallery restore --from rollback` goes back.

    \b
    facerec gallery migrate --model int8 --dry-run
    facerec gallery migrate --model models/new
    facerec gallery migrate --model default --detector yunet
    """
    from facerec.inference.loading import load_embedder
    from facerec.recognition.migrate import Report, open_model_change
    from facerec.recognition.migrate import migrate as run

    embedder = load_embedder(model)
    report, size = None, embedder.card.input_size
    with open_model_change(gallery_folder, embedder, detector) as change:
        chosen = detector or change.detector
        finder = detector_options.make_detector(aligned=False, **faces, detector=chosen, crop_size=size)
        steps = run(change, finder, embedder, elsewhere=photos, leave_out=leave_out, dry_run=dry_run)
        for step in show_progress(steps, "Embedding", change.store.templates, lambda s: not isinstance(s, Report)):
            if isinstance(step, Report):
                report = step
            elif step.problem is not None:
                _tell_problem(step, as_json)
    assert report is not None
    for veto in report.vetoes_dropped:
        done = "is" if report.migrated else "would be"
        common.warn(f"{veto.person}: a face that was said not to be them {done} forgotten; {veto.problem}")
    common.emit(_as_json(report)) if as_json else _tell(report, model, dry_run, leave_out)
    common.finish(len(report.losses) + len(report.vetoes_dropped), report.migrated or dry_run)


def _tell_problem(step: "Step", as_json: bool) -> None:
    common.warn(f"{step.person}: {step.problem}")
    if as_json:
        common.emit({"image": step.source, "person": step.person, "status": "failed", "reason": step.problem})


def _tell(report: "Report", model: str, dry_run: bool, leave_out: bool) -> None:
    for loss in report.losses:
        common.warn(_loss(loss, report.migrated))
    made = f"{how_many(report.crops, 'face')} embedded from kept crops, {report.photos} from photos"
    click.echo(f"{made}, {report.reused} by an earlier run.")
    if report.vetoes:
        click.echo(f"{how_many(report.vetoes, 'vetoed face')} embedded, too.")
    if report.before is None or report.after is None:
        click.echo("The gallery is as it was. With --leave-out it is migrated without these photos.")
        return
    old, new = _names(report)
    _tell_figures(old, report.before)
    _tell_figures(new, report.after)
    if report.strangers_dropped:
        verb = "would be" if dry_run else "are"
        click.echo(
            f"The {report.strangers_dropped} strangers given to `facerec calibrate` are {old}'s and {verb} dropped; "
            "give their photos again (--strangers DIR)."
        )
    if _is_recut(report) and report.new_detector != "mtcnn":
        click.echo(
            "The strangers who come with the model were cut by mtcnn, so the threshold may fit a little less well. "
            f"Strangers of your own (`facerec calibrate --strangers DIR`) are cut by {report.new_detector}."
        )
    if report.migrated:
        click.echo(f"From now on give `--model {printable(shlex.quote(model))}` to every command that takes one.")
        click.echo(f"The gallery is of {new} now; `facerec gallery restore --from rollback` goes back to {old}.")
    else:
        needed = " and with --leave-out" if report.losses and not leave_out else ""
        click.echo(f"The gallery is as it was; without --dry-run{needed} it would be migrated.")


def _is_recut(report: "Report") -> bool:
    return report.old_detector != report.new_detector


def _names(report: "Report") -> tuple[str, str]:
    """Return what the gallery is of before and after: its model, and its detector if that changes."""
    old, new = (printable(name or "no model") for name in (report.old_model, report.new_model))
    return (
        (f"{old} with {report.old_detector}", f"{new} with {report.new_detector}") if _is_recut(report) else (old, new)
    )


def _loss(loss: "Loss", gone: bool) -> str:
    name = printable(loss.person)
    if loss.lost < loss.templates:
        return f"{name}: {loss.lost} of {loss.templates} photos {'were left out' if gone else 'cannot be migrated'}"
    if gone:
        return f"{name}: not enrolled any more, no photo could be migrated; the rollback copy has them"
    return f"{name}: cannot be migrated, no photo of {loss.templates} can be used"


def _tell_figures(model: str, figures: "SelfSearch") -> None:
    threshold = figures.threshold
    limit = "no threshold" if threshold is None else f"threshold {threshold.distance:.3f} ({threshold.source})"
    click.echo(f"With {model}, {common.photos_of(figures.templates, figures.people)}, {limit}:")
    if threshold is None:
        click.echo("    no figures: the model has neither strangers nor a threshold of its own")
        return
    for name, rate, without in (
        ("FNIR, each photo searched while it is left out", figures.fnir, "nobody has two photos"),
        ("FPIR, the strangers that set the threshold", figures.fpir_strangers, "the model has none"),
        ("FPIR, each person searched while left out", figures.fpir_enrolled, "there is one person only"),
    ):
        click.echo(f"    {name}: {f'too small a gallery, {without}' if rate is None else _rate(rate)}")


def _rate(rate: "Rate") -> str:
    low, high = rate.ci95
    who = f"by {how_many(rate.people, 'person', 'people')}"
    shares = f"{common.percent(rate.rate)} % ({common.percent(low)} to {common.percent(high)})"
    said = f"{rate.errors} of {rate.searches} {who}, {shares}"
    return said if high - low <= TELLING else f"{said}: too small a gallery to tell"


def _as_json(report: "Report") -> dict[str, Any]:
    line = {"summary": True, "migrated": report.migrated, "model": report.new_model}
    line |= {"model_fingerprint": report.fingerprint, "old_model": report.old_model}
    line |= {"crops": report.crops, "photos": report.photos, "reused": report.reused}
    line |= {"losses": [{"person": x.person, "lost": x.lost, "templates": x.templates} for x in report.losses]}
    line |= {"old_detector": report.old_detector, "detector": report.new_detector}
    line |= {"strangers_dropped": report.strangers_dropped, "vetoes": report.vetoes}
    dropped = [{"person": x.person, "image": x.source, "reason": x.problem} for x in report.vetoes_dropped]
    line["vetoes_dropped"] = dropped
    return line | {"before": _figures(report.before), "after": _figures(report.after)}


def _figures(figures: "SelfSearch | None") -> dict[str, Any] | None:
    if figures is None:
        return None
    threshold = figures.threshold
    line: dict[str, Any] = {"people": figures.people, "templates": figures.templates}
    line |= {"threshold": None if threshold is None else threshold.distance}
    line |= {"threshold_source": None if threshold is None else threshold.source}
    for name in ("fnir", "fpir_strangers", "fpir_enrolled"):
        rate: Rate | None = getattr(figures, name)
        line[name] = None if rate is None else {
            "rate": rate.rate, "errors": rate.errors, "searches": rate.searches, "people": rate.people,
            "ci95": list(rate.ci95),
        }  # fmt: skip
    return line
