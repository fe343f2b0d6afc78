"""facerec.datasets.groups: the file, and every figure for each group against the same figure of its pairs alone."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import oracles
import pytest
import toy_failures
import toy_model
from running import json_lines, run
from toy_failures import darken
from toy_pairs import distances_by_loop, made_up, rated

from facerec.datasets.groups import read_groups
from facerec.datasets.pairs import Pairs
from facerec.errors import DataError
from facerec.evaluation import verification
from facerec.evaluation.verification import by_group, pair_distances, pair_groups, thresholds_at_fmr

dark = toy_failures.dark

Write = Callable[[str | bytes], Path]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "groups.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# ------------------------------------------------------------------------------------------------- the file


@pytest.mark.parametrize("header", ["", "photo or person,group\n", "Name, Group\n"])
def test_photos_go_before_people(written: Write, header: str) -> None:
    groups = read_groups(written(f'\ufeff{header}Ann Lee,women\n\n"./Ann Lee//2.jpg", outdoors\nC\u0327elik,men\n'))
    assert groups.of("Ann Lee/1.jpg", "Ann Lee") == "women"
    assert groups.of("Ann Lee/2.jpg", "Ann Lee") == "outdoors"
    assert groups.of("\u00c7elik/2.jpg", "\u00c7elik") == "men"
    assert groups.of("Bob/1.jpg", "Bob") == "no group"
    assert groups.strays(["Ann Lee/1.jpg"], ["Ann Lee"]) == ["Ann Lee/2.jpg", "\u00c7elik"]
    assert groups.strays(["Ann Lee/2.jpg"], ["Ann Lee", "C\u0327elik"]) == []


BAD = {
    "empty": ("", "no groups in it"),
    "header alone": ("photo,group\n", "no groups in it"),
    "one field": ("Ann,women\nBob\n", "line 2: 1 fields; write 2"),
    "three fields": ("Ann,women,old\n", "line 1: 3 fields; write 2"),
    "no name": (",women\n", "line 1: ',women'; write a photo or person"),
    "no group named": ("Ann,\n", "line 1: 'Ann,'; write a photo or person"),
    "two groups": ("Ann,women\nBob,men\nAnn,men\n", "line 3: Ann is in two groups, women and men"),
    "reserved": ("Ann,across groups\n", "line 1: 'across groups' is a group that facerec makes itself"),
    "open quote": ('"Ann,women\n', "line 1: not CSV"),
    "not UTF-8": (b"Ann,\xff\n", "not UTF-8 text (byte 4)"),
    "zero byte": ("Ann,wo\0men\n", "not text"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_line_with_the_place(written: Write, case: str) -> None:
    content, message = BAD[case]
    path = written(content)
    with pytest.raises(DataError, match=re.escape(message)) as raised:
        read_groups(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: cannot be read \(No such file.*give a CSV of groups"):
        read_groups(tmp_path / "none.csv")


# ---------------------------------------------------------------------------------------------- verification


def groups_of(pairs: Pairs) -> list[str]:
    """Of thirds of the people: east, west, nobody's."""
    people = {photo: int(photo.split("/")[0]) for photo in pairs.photos}
    return pair_groups(
        pairs, {photo: "east" if p < 14 else "west" if p < 28 else "no group" for photo, p in people.items()}
    )


def test_the_group_of_a_pair() -> None:
    names = {"a": "x", "b": "x", "c": "y", "d": "no group", "e": "no group"}
    pairs = Pairs(("a", "a", "a", "d"), ("b", "c", "d", "e"), np.ones(4, np.bool_), None)
    assert pair_groups(pairs, names) == ["x", "across groups", "no group", "no group"]


@pytest.mark.parametrize("folds", [4, None])
def test_figures_of_pairs_by_group_are_the_oracles(folds: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "REPLICATES", 60)
    pairs, vectors = made_up(folds)
    distances, groups = pair_distances(pairs, vectors), groups_of(pairs)
    limits = {**thresholds_at_fmr(distances, pairs), "model": 0.05}
    figures = by_group(distances, pairs, groups, limits)
    json.dumps(figures, allow_nan=False)
    assert list(figures) == ["across groups", "east", "no group", "west"]
    slow, same, kept = distances_by_loop(pairs, vectors), pairs.same.tolist(), rated(pairs, vectors)
    right = [False] * len(slow)
    for fold in range(folds or 1):
        inside = [i for i in kept if folds is None or i % folds == fold]
        chosen = [i for i in kept if folds is None or i % folds != fold]
        limit = oracles.best_threshold_by_trial([slow[i] for i in chosen], [same[i] for i in chosen])
        for i in inside:
            right[i] = (slow[i] <= limit) == same[i]
    for name, own in figures.items():
        every = [i for i, group in enumerate(groups) if group == name]
        counts = (len(every), sum(same[i] for i in every), sum(not same[i] for i in every))
        assert (own["pairs"], own["genuine"], own["impostor"]) == counts
        assert own["failures_to_enrol"] == sum(slow[i] == np.inf for i in every)
        assert own["people"] == len({side[i].split("/")[0] for side in (pairs.a, pairs.b) for i in every})
        chosen = [i for i in every if i in kept]
        assert own["failures_to_enrol_impostor"] == len(every) - len(chosen)
        d, genuine = [slow[i] for i in chosen], [same[i] for i in chosen]
        assert own["accuracy"] == pytest.approx(np.mean([right[i] for i in chosen]))
        for at, limit in limits.items():
            true_matches, false_matches = oracles.matches(d, genuine, limit)
            fnmr = 1 - true_matches / sum(genuine) if any(genuine) else None
            assert own["fnmr_at_threshold"][at] == (None if fnmr is None else pytest.approx(fnmr))
            assert own["fmr_at_threshold"][at] == pytest.approx(false_matches / (len(d) - sum(genuine)))
        if any(genuine):
            assert own["auc"] == pytest.approx(oracles.auc_by_pairs(d, genuine))
            assert own["eer"] == pytest.approx(oracles.eer_by_segments(d, genuine))
            assert own["tar_at_fmr"]["1e-2"] == oracles.tar_at_fmr_by_trial(d, genuine, 10)
            low, high = own["ci95"]["fnmr_at_threshold"]["model"]
            assert low <= own["fnmr_at_threshold"]["model"] <= high
        else:
            assert (name, own["auc"], own["eer"], own["ci95"]["auc"]) == ("across groups", None, None, None)
            assert own["ci95"]["fmr_at_threshold"]["model"] is not None
    assert sum(own["pairs"] for own in figures.values()) == len(slow)


def test_no_threshold_at_a_false_match_rate_without_impostors() -> None:
    pairs = Pairs(("a",), ("b",), np.ones(1, np.bool_), None)
    assert thresholds_at_fmr(np.array([0.5], np.float32), pairs) == {}


# ----------------------------------------------------------------------------------------------- the commands


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for person in range(4):
        for photo in range(3):
            toy_model.save_crop(tmp_path / "faces" / f"p{person}" / f"{photo}.png", person, photo)
    return tmp_path / "faces"


def test_verification_by_group(people: Path, toy: Path, written: Write, tmp_path: Path) -> None:
    rows = [f"p{a}/0.png,p{b}/1.png,{int(a == b)}" for a in range(4) for b in range(4)]
    (tmp_path / "pairs.csv").write_text("\n".join(["a,b,same", *rows]), "utf-8")
    path = written("name,group\np0,x\np1,x\np2,[b]y\np3/0.png,x\np3/2.png,x\nnobody,y\n")
    command = ("evaluate", "verification", "--images", people, "--pairs", tmp_path / "pairs.csv", "--groups", path)
    result = run(*command, "--aligned", "--model", toy, "--json")
    (line,) = json_lines(result)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        f"{path}: {name} is no photo and no person here" for name in ("p3/2.png", "nobody")
    ]
    counts = {name: (own["genuine"], own["impostor"]) for name, own in line["by_group"].items()}
    # 0.png of p3 is in x, its 1.png in no group
    assert counts == {"across groups": (0, 5), "no group": (1, 3), "x": (2, 4), "[b]y": (1, 0)}
    assert set(line["thresholds"]) == {"1e-2", "1e-3", "model"}
    assert line["thresholds"]["model"] == toy_model.THRESHOLD["distance"]
    assert line["fmr_at_threshold"] == dict.fromkeys(line["thresholds"], 0)
    shown = run(*command, "--aligned", "--model", toy).stdout
    assert re.search(r"\[b\]y\W+1\W+1\W+0\W+0\W+0\.000", shown)


def test_identification_by_group(people: Path, toy: Path, written: Write) -> None:
    path = written("\n".join(["p0,x", "p1,y", "p1/2.png,x", *(f"none{i},x" for i in range(11))]))
    command = ("evaluate", "identification", "--gallery-images", people, "--probe-images", people, "--groups", path)
    result = run(*command, "--aligned", "--model", toy, "--json")
    (line,) = json_lines(result)
    assert result.exit_code == 0
    strays, copies = result.stderr.splitlines()
    assert strays == f"{path}: 11 lines name no photo and no person here, the first none0"
    assert copies.startswith("12 photos in --probe-images, byte for byte also in --gallery-images, cannot be missed")
    assert {name: own["mated_searches"] for name, own in line["by_group"].items()} == {"no group": 6, "x": 4, "y": 2}
    assert line["by_group"]["x"]["fnir_at_gallery_threshold"] == 0
    shown = run(*command, "--aligned", "--model", toy).stdout
    assert re.search(r"\bx\W+2\W+4\W+0\W+0", shown)


@pytest.mark.usefixtures("dark")
def test_failures_to_enrol_are_counted_by_group(people: Path, toy: Path, written: Write, tmp_path: Path) -> None:
    """Of the person whose photo it was; who is not searched for has counts alone."""
    shutil.copytree(people, tmp_path / "probes")
    for person in ("p0", "lost"):
        (people / person).mkdir(exist_ok=True)
        darken(people / person / "dark.png")
    path = written("p0,x\np1,x\nlost,y")
    command = ("evaluate", "identification", "--gallery-images", people, "--probe-images", tmp_path / "probes")
    command += ("--groups", path, "--aligned", "--model", toy)
    (line,) = json_lines(run(*command, "--json"))
    assert {name: own["failures_to_enrol"] for name, own in line["by_group"].items()} == {"no group": 0, "x": 1, "y": 1}
    assert line["failures_to_enrol"] == 2
    shown = run(*command).stdout
    assert re.search(r"\bx\W+2\W+6\W+0\W+1\W+0\W", shown)
    assert re.search(r"\by\W+0\W+0\W+0\W+1\W+0\W", shown)


def test_no_figure_of_a_table_is_cut(people: Path, toy: Path, written: Write) -> None:
    path, name = written("p0,x\np1," + "y" * 60), "y" * 60
    command = ("evaluate", "identification", "--gallery-images", people, "--probe-images", people, "--groups", path)
    shown = run(*command, "--gallery-sizes", "1,2", "--aligned", "--model", toy).stdout
    assert "…" not in shown
    assert all(whole in shown for whole in (name, "non-mated", "searcher's group", "1.000 (0.025 to 1.000)"))


def test_a_bad_groups_file_is_refused_before_a_photo_is_read(people: Path, toy: Path, written: Write) -> None:
    command = ("evaluate", "identification", "--gallery-images", people, "--probe-images", people, "--aligned")
    result = run(*command, "--model", toy, "--groups", written("p0\n"))
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert "groups.csv, line 1" in result.stderr
