"""Tables of the JSON line that an evaluation reports, for terminal and page. The cells are plain text, not markup."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facerec.text import printable

Line = Mapping[str, Any]
"""The `line` of `runs.Run`."""
Cells = tuple[str, ...]

DIGITS = 5
COMMON_FMR = "1e-3"
COMMON_FPIR = "0.01"
"""Groups are compared at the threshold of this FMR, or FPIR; the JSON has others, too."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table. Every row has as many cells as the header. note: text shown below it."""

    title: str
    header: Cells
    rows: tuple[Cells, ...]
    note: str = ""


def verification_tables(line: Line) -> list[Table]:
    """Return the table of all pairs, and one of the groups if there are any."""
    ci = line["ci95"]
    rows = [(name, number(line[name]), interval(ci.get(name))) for name in ("accuracy_mean", "auc", "eer")]
    compared = line["impostor"] - line["failures_to_enrol_impostor"]
    for fmr, tar in line["tar_at_fmr"].items():
        cells = _enough(float(fmr), compared, "impostor pairs") or (number(tar), interval(ci["tar_at_fmr"][fmr]))
        rows.append((f"TAR at FMR {fmr}", *cells))
    failures = ("failures_to_enrol", "failures_to_enrol_impostor", "skipped")
    counts = ("pairs", "genuine", "impostor", *failures, "accuracy_se", "photos_per_second")
    rows += [(name, number(line[name]), "") for name in counts]
    groups = [_pair_groups(line)] if "by_group" in line else []
    note = _same_answer(line["genuine"], compared)
    return [Table(_title(line), ("measure", "value", "95 % interval"), tuple(rows), note), photos_table(line), *groups]


def _same_answer(genuine: int, impostor: int) -> str:
    """What an accuracy is to be compared with where pairs are of unequal kinds, as after leaving some out."""
    if genuine == impostor:
        return ""
    if not genuine or not impostor:
        return f"All pairs left are {'genuine' if genuine else 'impostor'} pairs, so there are no figures."
    share = max(genuine, impostor) / (genuine + impostor)
    return f"One and the same answer to every pair would be right for {100 * share:.1f} % of them."


def photos_table(line: Line) -> Table:
    """Return the table of the photos that failed, of any protocol (`failures`).

    Models that look at whole pictures (`of_faces` is false) find no faces, good or poor.
    """
    kinds = [("photos", "all"), ("photos_missing", "missing, left out"), ("photos_unreadable", "unreadable, left out")]
    if line.get("of_faces", True):
        kinds += [
            ("photos_without_face", "without a usable face, counted as failed"),
            ("poor_faces", "with a face too poor to be enrolled, used"),
        ]
    return Table("photos", ("photos", "number"), tuple((said, number(line[name])) for name, said in kinds))


def _pair_groups(line: Line) -> Table:
    header = (
        "group",
        "people",
        "genuine",
        "impostor",
        "failures",
        f"FNMR at {COMMON_FMR}",
        f"FMR at {COMMON_FMR}",
        "AUC",
    )
    rows = []
    for name, own in line["by_group"].items():
        counts = [number(own[count]) for count in ("people", "genuine", "impostor", "failures_to_enrol")]
        ends = own["ci95"]
        rates = [
            _with_ends(own[rate][COMMON_FMR], ends[rate][COMMON_FMR])
            for rate in ("fnmr_at_threshold", "fmr_at_threshold")
        ]
        rows.append((printable(name), *counts, *rates, _with_ends(own["auc"], ends["auc"])))
    limit = number(line["thresholds"][COMMON_FMR])
    note = (
        f"FNMR and FMR are at the same threshold for all groups, {limit}, where FMR is {COMMON_FMR} over all pairs. "
        "AUC is within the group. 95 % intervals over people."
    )
    return Table("pairs within a group", header, tuple(rows), note)


def identification_tables(line: Line) -> list[Table]:
    """Return the table of all searches, and tables by gallery size and by group if these were asked for."""
    ci = line["ci95"]
    rows: list[Cells] = []
    strangers = line["nonmated_searches"] - line["failures_to_acquire_nonmated"]
    for fpir, fnir in line["fnir_at_fpir"].items():
        if few := _enough(float(fpir), strangers, "searches by strangers"):
            rows.append((f"FNIR at FPIR {fpir}", *few))
            continue
        rows.append((f"FNIR at FPIR {fpir}", number(fnir), interval(ci["fnir_at_fpir"][fpir])))
        limit, ends = line["threshold_at_fpir"][fpir], ci["threshold_at_fpir"][fpir]
        rows.append(("    at distance", number(limit), interval(ends)))
    rows.append(("the gallery's threshold", number(line["gallery_threshold"]), line["gallery_threshold_source"] or ""))
    for name in ("rank1_rate", "fpir_at_gallery_threshold", "fnir_at_gallery_threshold"):
        rows.append((name, number(line[name]), interval(ci[name])))
    for k in [k for k in line["rank_k"] if k != "1"]:
        rows.append((f"among the {k} nearest", number(line["rank_k"][k]), interval(ci["rank_k"][k])))
    if (stated := line.get("probability")) is not None:
        for name, said in (("brier", "Brier score"), ("calibration_error", "calibration error")):
            rows.append((f"probability: {said}", number(stated[name]), interval(stated["ci95"][name])))
    counts = ("people", "templates", "mated_searches", "nonmated_searches")
    failures = ("failures_to_enrol", "failures_to_acquire", "failures_to_acquire_nonmated", "skipped")
    rows += [(name, number(line[name]), "") for name in (*counts, *failures, "search_ms_p50", "search_ms_p99")]
    tables = [Table(_title(line), ("measure", "value", "95 % interval"), tuple(rows)), photos_table(line)]
    tables += [_sizes(line["by_gallery_size"])] if "by_gallery_size" in line else []
    return tables + ([_search_groups(line)] if "by_group" in line else [])


def _sizes(sizes: Iterable[Line]) -> Table:
    header = ("people", "draws", "mated", "non-mated", "FNIR at FPIR 0.01", "threshold", "FNIR at it", "FPIR at it")
    rows = []
    for own in sizes:
        counts = (
            str(own["people"]),
            str(own["draws"]),
            f"{own['mated_searches']:.1f}",
            f"{own['nonmated_searches']:.1f}",
        )
        few = own["nonmated_searches"] - own["failures_to_acquire_nonmated"] < 1 / float(COMMON_FPIR)
        best = _with_ends(own["fnir_at_fpir"][COMMON_FPIR], own["ci95"]["fnir_at_fpir"][COMMON_FPIR])
        best = "too few strangers" if few else best
        names = ("fnir_at_gallery_threshold", "fpir_at_gallery_threshold")
        rates = [_with_ends(own[name], own["ci95"][name]) for name in names]
        rows.append((*counts, best, number(own["gallery_threshold"]), *rates))
    note = (
        "Means over random galleries of that many people; the others are strangers. The threshold is the one that a "
        "gallery of that size sets itself. 95 % intervals over people."
    )
    return Table("by gallery size", header, tuple(rows), note)


def _search_groups(line: Line) -> Table:
    header = (
        "searcher's group",
        "people",
        "mated",
        "non-mated",
        "failed to enroll",
        "to acquire",
        "FNIR",
        "FPIR",
        f"FNIR at {COMMON_FPIR}",
        "rank 1",
    )
    rows = []
    for name, own in line["by_group"].items():
        counts = ("searchers", "mated_searches", "nonmated_searches", "failures_to_enrol", "failures_to_acquire")
        ci = own.get("ci95", {})  # a group without searches has only counts
        rates = [(own.get(rate), ci.get(rate)) for rate in ("fnir_at_gallery_threshold", "fpir_at_gallery_threshold")]
        shared = own.get("fnir_at_threshold"), ci.get("fnir_at_threshold")
        rates += [(part and part[COMMON_FPIR], ends and ends[COMMON_FPIR]) for part, ends in [shared]]
        rates += [(own.get("rank1_rate"), ci.get("rank1_rate"))]
        rows.append(
            (printable(name), *(number(own[count]) for count in counts), *(_with_ends(*rate) for rate in rates))
        )
    note = (
        f"FNIR and FPIR are at the gallery's threshold. FNIR at {COMMON_FPIR} is at the same threshold for all groups, "
        f"where FPIR is {COMMON_FPIR} over all searches. 95 % intervals over people."
    )
    return Table("by group", header, tuple(rows), note)


def classification_tables(line: Line) -> list[Table]:
    """Return the table of all pictures, and one with a row per class (or value of the attribute)."""
    rows = [(name, number(line[name]), interval(line["ci95"][name])) for name in ("accuracy", "roc_auc")]
    rows += [(name, number(line[name]), "") for name in ("images", "failures", "skipped", "images_per_second")]
    names = [printable(name) for name in line["class_names"]]
    classes = tuple(_class_row(place, row, names) for place, row in enumerate(line["confusion"]))
    kind, note = "class", ""
    if "attribute" in line:
        kind, note = printable(line["attribute"]), f"95 % intervals over {line['ci95_over']}."
    return [
        Table(_title(line), ("measure", "value", "95 % interval"), tuple(rows), note),
        *([photos_table(line)] if "photos" in line else []),  # `features` counts none
        Table("", (kind, "photos read", "right", "most often taken for"), classes),
    ]


def _class_row(place: int, row: Sequence[int], names: Sequence[str]) -> Cells:
    """Return the row of a class: its name, photos, right answers and most frequent mistake."""
    mistakes = [count if other != place else 0 for other, count in enumerate(row)]
    worst = mistakes.index(max(mistakes))
    taken_for = f"{names[worst]} ({mistakes[worst]})" if mistakes[worst] else "-"
    return names[place], str(sum(row)), str(row[place]), taken_for


def _enough(rate: float, count: int, of: str) -> tuple[str, str] | None:
    """The cells that say why a figure at a rate of errors is not shown: of so few comparisons, none may be an error.

    All such rates would have one figure. None where there are enough.
    """
    needed = math.ceil(1 / rate - 1e-9)
    return None if count >= needed else ("-", f"needs {needed:,} {of}, here {count:,}")


def number(value: float | None) -> str:
    """Return a rate with DIGITS decimals, a count as it is, or "-" for None."""
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.{DIGITS}f}"


def interval(bounds: Sequence[float] | None) -> str:
    """Return both ends of an interval, or "-" if there is none."""
    return "-" if not bounds else f"{bounds[0]:.{DIGITS}f} to {bounds[1]:.{DIGITS}f}"


def _with_ends(value: float | None, bounds: Sequence[float] | None) -> str:
    """Return a rate and its interval for one cell. Three decimals, since many stand beside each other."""
    if value is None:
        return "-"
    return f"{value:.3f}" if not bounds else f"{value:.3f} ({bounds[0]:.3f} to {bounds[1]:.3f})"


def _title(line: Line) -> str:
    without = f" without {', '.join(line['dropped_blocks'])}" if "dropped_blocks" in line else ""
    return printable(f"{line['model']}{without} ({line['model_fingerprint']})")
