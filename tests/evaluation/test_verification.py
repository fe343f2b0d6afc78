"""facerec.evaluation.verification: pairs files of every kind, good and bad, and the verification report."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import oracles
import pytest
from sklearn.metrics import roc_auc_score
from toy_pairs import at, distances_by_loop, made_up, rated

from facerec.datasets.pairs import Pairs, read_pairs
from facerec.errors import DataError
from facerec.evaluation import verification as module
from facerec.evaluation.verification import verification

LFW = "2\t1\nAnn\t1\t4\nAnn\t2\tBob\t1\nCy Lee\t1\t2\nCy Lee\t1\tDan\t12\n"


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "pairs.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


Write = Callable[[str | bytes], Path]


def listed(pairs: Pairs) -> list[tuple[str, str, bool]]:
    return list(zip(pairs.a, pairs.b, pairs.same.tolist(), strict=True))


# ----------------------------------------------------------------------------------------- pairs files


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n \n"])
def test_lfw_with_folds(written: Write, ending: str) -> None:
    pairs = read_pairs(written(LFW.rstrip() + ending))
    assert listed(pairs) == [
        ("Ann/Ann_0001.jpg", "Ann/Ann_0004.jpg", True),
        ("Ann/Ann_0002.jpg", "Bob/Bob_0001.jpg", False),
        ("Cy Lee/Cy Lee_0001.jpg", "Cy Lee/Cy Lee_0002.jpg", True),
        ("Cy Lee/Cy Lee_0001.jpg", "Dan/Dan_0012.jpg", False),
    ]
    assert pairs.fold is not None
    assert pairs.fold.tolist() == [0, 0, 1, 1]
    assert len(pairs.photos) == 7
    assert pairs.photos[0] == "Ann/Ann_0001.jpg"


def test_lfw_without_folds_parted_by_spaces(written: Write) -> None:
    pairs = read_pairs(written("2\nAnn 1 2\nBob 1 10000\nAnn 1 Bob 1\nAnn 2 Bob 2\n"))
    assert pairs.same.tolist() == [True, True, False, False]
    assert pairs.b[1] == "Bob/Bob_10000.jpg"
    assert pairs.fold is None


def test_csv(written: Write) -> None:
    pairs = read_pairs(
        written('\ufeffa,b,same\nx/1.jpg,./x//2.jpg,1\n\n"a, b/1.png", 3.jpg,False\nx/1.jpg,y/1.jpg,TRUE\n')
    )
    assert listed(pairs) == [
        ("x/1.jpg", "x/2.jpg", True),
        ("a, b/1.png", "3.jpg", False),
        ("x/1.jpg", "y/1.jpg", True),
    ]
    assert pairs.fold is None


def test_csv_with_folds_in_any_order_of_columns(written: Write) -> None:
    pairs = read_pairs(written("fold,same,b,a\n3,true,2.jpg,1.jpg\n1,0,3.jpg,1.jpg\n"))
    assert listed(pairs) == [("1.jpg", "2.jpg", True), ("1.jpg", "3.jpg", False)]
    assert pairs.fold is not None
    assert pairs.fold.tolist() == [3, 1]


BAD = {
    "empty": ("", "line 1: neither LFW"),
    "no header": ("x.jpg,y.jpg,1\n", "line 1: neither LFW"),
    "header with an unknown column": ("a,b,same,score\n", "line 1: neither LFW"),
    "header alone": ("a,b,same\n", "no pairs in it"),
    "zero byte": ("a,b,same\nx\0.jpg,y.jpg,1\n", "not text"),
    "not UTF-8": (b"a,b,same\n\xff.jpg,y.jpg,1\n", "not UTF-8 text (byte 9)"),
    "field missing": ("a,b,same\nx.jpg,y.jpg,1\nx.jpg,y.jpg\n", "line 3: 2 fields; write 3: a,b,same"),
    "field too many": ("a,b,same\nx.jpg,y.jpg,1,2\n", "line 2: 4 fields; write 3"),
    "label": ("a,b,same\nx.jpg,y.jpg,yes\n", "line 2: same is 'yes'; write 1 or true"),
    "fold not a number": ("a,b,same,fold\nx.jpg,y.jpg,1,a\n", "line 2: fold is 'a'"),
    "fold empty": ("a,b,same,fold\n\nx.jpg,y.jpg,1,\n", "line 3: fold is ''"),
    "fold too large": ("a,b,same,fold\nx.jpg,y.jpg,1,99999999999999999999\n", "line 2: fold is '9999"),
    "one fold": ("a,b,same,fold\nx.jpg,y.jpg,1,4\nx.jpg,z.jpg,0,4\n", "all pairs are in fold 4; give two or more"),
    "no photo": ("a,b,same\n,y.jpg,1\n", "line 2: photo ''; write a path relative"),
    "absolute path": ("a,b,same\nx.jpg,/y.jpg,1\n", "line 2: photo '/y.jpg'; write a path relative"),
    "one pair twice": (
        "a,b,same\nx.jpg,y.jpg,1\n\nx.jpg,z.jpg,0\ny.jpg,./x.jpg,0\n",
        "line 5: y.jpg and x.jpg are also the pair of line 2; leave one of the lines",
    ),
    "LFW one pair twice": ("2\nAnn 1 2\nAnn 2 1\nAnn 1 Bob 2\nAnn 1 Bob 3\n", "are also the pair of line 2"),
    "one photo twice": ("a,b,same\nx.jpg,./x.jpg,1\n", "line 2: photo x.jpg is paired with itself"),
    "open quote": ('a,b,same\n"x.jpg,y.jpg,1\n', "line 2: not CSV"),
    "LFW header of three": ("10 300 5\nAnn 1 2\n", "line 1: '10 300 5'; write the folds"),
    "LFW header of nought": ("0 300\n", "line 1: '0 300'; write the folds"),
    "LFW header alone": ("1\n", "line 1: promises 1 x 1 genuine and impostor pairs, 2 lines, but 0 follow"),
    "LFW cut short": ("1\nAnn 1 2\n", "but 1 follow; correct it or get the whole file"),
    "LFW one fold": ("1 1\nAnn 1 2\nAnn 1 Bob 1\n", "all pairs are in fold 0"),
    "LFW fields": ("1\nAnn 1 2\nAnn 1\n", "line 3: 2 fields; write 'Name 1 4'"),
    "LFW empty line": ("1\n\nAnn 1 Bob 2\n", "line 2: 0 fields"),
    "LFW number": ("1\nAnn 1 x\nAnn 1 Bob 2\n", "line 2: photo number 'x' of Ann; write a whole number from 1"),
    "LFW number nought": ("1\nAnn 1 0\nAnn 1 Bob 2\n", "line 2: photo number '0' of Ann"),
    "LFW name": ("1\n\t1\t2\nAnn 1 Bob 2\n", "line 2: '' is not a folder name"),
    "LFW name with a folder": ("1\n../Ann 1 2\nAnn 1 Bob 2\n", "line 2: '../Ann' is not a folder name"),
    "LFW one photo twice": ("1\nAnn 2 02\nAnn 1 Bob 2\n", "line 2: photo Ann/Ann_0002.jpg is paired with itself"),
    "LFW one person as two": ("1\nAnn 1 2\nAnn 1 Ann 2\n", "line 3: Ann against Ann as different people"),
    "LFW order": ("2 1\nAnn 1 2\nAnn 1 Bob 2\nAnn 1 Cy 1\nCy 1 2\n", "line 4: must be genuine, 'Name 1 4'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_line_with_the_place(written: Write, case: str) -> None:
    content, message = BAD[case]
    path = written(content)
    with pytest.raises(DataError, match=re.escape(message)) as raised:
        read_pairs(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.txt: cannot be read \(No such file"):
        read_pairs(tmp_path / "nothing.txt")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        read_pairs(tmp_path)


# ---------------------------------------------------------------------------------------- verification


@pytest.fixture
def few_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPLICATES", 60)


@pytest.mark.parametrize("folds", [4, None])
@pytest.mark.usefixtures("few_replicates")
def test_report_is_the_oracles(folds: int | None) -> None:
    pairs, vectors = made_up(folds)
    result = verification(pairs, vectors)
    every, kept = distances_by_loop(pairs, vectors), rated(pairs, vectors)
    distances, same = [every[i] for i in kept], pairs.same[kept].tolist()
    assert (result.pairs, result.genuine, result.impostor, result.skipped) == (80, 40, 40, 0)
    assert result.failures_to_enrol == sum(map(math.isinf, every)) > 3
    assert result.failures_to_enrol_impostor == 80 - len(kept) > 0
    assert result.auc == pytest.approx(roc_auc_score(same, -np.minimum(distances, 9)))
    assert result.eer == pytest.approx(oracles.eer_by_segments(distances, same))
    assert result.tar_at_fmr == {
        "1e-2": oracles.tar_at_fmr_by_trial(distances, same, 10),
        "1e-3": oracles.tar_at_fmr_by_trial(distances, same, 1),
    }
    if pairs.fold is None:
        threshold = oracles.best_threshold_by_trial(distances, same)
        assert result.accuracy_mean == pytest.approx(oracles.right_decisions(distances, same, threshold) / len(kept))
        assert result.accuracy_se is None
    else:
        of_folds = oracles.fold_accuracies_by_loop(distances, same, pairs.fold[kept].tolist())
        assert result.accuracy_mean == pytest.approx(np.mean(of_folds))
        assert result.accuracy_se == pytest.approx(np.std(of_folds, ddof=1) / 2)


@pytest.mark.parametrize("folds", [4, None])
@pytest.mark.usefixtures("few_replicates")
def test_intervals_hold_the_rates_and_come_again(folds: int | None) -> None:
    pairs, vectors = made_up(folds)
    result = verification(pairs, vectors)
    assert result.to_json() == verification(pairs, vectors).to_json()
    assert (result.ci95["replicates"], result.ci95["dropped"]) == (60, 0)
    rates = {"auc": result.auc, "accuracy_mean": result.accuracy_mean, "eer": result.eer, **result.tar_at_fmr}
    intervals = {**result.ci95, **result.ci95["tar_at_fmr"]}
    for name, rate in rates.items():
        low, high = intervals[name]
        assert low < high
        assert low <= rate <= high


@pytest.mark.usefixtures("few_replicates")
def test_json_has_the_fields_of_the_command_line() -> None:
    result = json.loads(json.dumps(verification(*made_up(4)).to_json(), allow_nan=False))
    failures = ["failures_to_enrol", "failures_to_enrol_impostor", "skipped"]
    rates = ["auc", "accuracy_mean", "accuracy_se", "eer", "tar_at_fmr", "ci95"]
    assert list(result) == ["pairs", "genuine", "impostor", *failures, *rates]
    assert list(result["tar_at_fmr"]) == list(result["ci95"]["tar_at_fmr"]) == ["1e-2", "1e-3"]
    assert {"auc", "accuracy_mean", "eer"} < set(result["ci95"])


@pytest.mark.parametrize("kind", [True, False])
@pytest.mark.usefixtures("few_replicates")
def test_one_kind_of_pair_gives_null(kind: bool) -> None:
    pairs, vectors = made_up(4)
    chosen = np.flatnonzero(pairs.same == kind)
    assert pairs.fold is not None
    half = Pairs(
        tuple(pairs.a[i] for i in chosen), tuple(pairs.b[i] for i in chosen), pairs.same[chosen], pairs.fold[chosen]
    )
    result = json.loads(json.dumps(verification(half, vectors).to_json(), allow_nan=False))
    assert (result["genuine"], result["impostor"]) == ((40, 0) if kind else (0, 40))
    assert [result[key] for key in ("auc", "accuracy_mean", "accuracy_se", "eer")] == [None] * 4
    assert result["tar_at_fmr"] == result["ci95"]["tar_at_fmr"] == {"1e-2": None, "1e-3": None}
    assert (result["ci95"]["auc"], result["ci95"]["dropped"]) == (None, 60)


@pytest.mark.usefixtures("few_replicates")
def test_nobody_enrolled() -> None:
    pairs, vectors = made_up(4)
    result = verification(pairs, dict.fromkeys(vectors))
    assert (result.pairs, result.failures_to_enrol, result.failures_to_enrol_impostor) == (80, 80, 40)
    assert (result.auc, result.eer, result.accuracy_mean) == (None, None, None), "no impostor pair is left"
    assert result.tar_at_fmr == {"1e-2": None, "1e-3": None}


def test_people_are_the_folders_and_photos_without_one(few_replicates: None) -> None:
    """One folder is one person: nothing to resample. Without folders all photos are people, and the rates spread."""
    pairs, vectors = made_up(None)

    def spread(rename: Callable[[str], str]) -> float:
        moved = Pairs(tuple(map(rename, pairs.a)), tuple(map(rename, pairs.b)), pairs.same, None)
        low, high = verification(moved, {rename(photo): v for photo, v in vectors.items()}).ci95["auc"]
        return high - low

    assert spread(lambda photo: "all/of them/" + photo.replace("/", "")) == 0
    assert spread(lambda photo: photo.replace("/", "")) > spread(lambda photo: photo) > 0


def test_callers_mistakes() -> None:
    pairs, vectors = made_up(None, failed=0)
    with pytest.raises(ValueError, match="length 1, not 1 to 2"):
        verification(pairs, {**vectors, "3/a.jpg": at(0) * 2})
    with pytest.raises(ValueError, match="length 1"):
        verification(pairs, {**vectors, "3/a.jpg": at(math.nan)})
    del vectors["3/a.jpg"]
    with pytest.raises(KeyError, match=r"3/a\.jpg"):
        verification(pairs, vectors)


@pytest.mark.real
def test_the_real_lfw_pairs(shared_data: Path) -> None:
    pairs = read_pairs(shared_data / "lfw_pairs.txt")
    assert (len(pairs.a), pairs.same.sum(), len(pairs.photos)) == (6000, 3000, 7701)
    assert pairs.fold is not None
    assert np.bincount(pairs.fold).tolist() == [600] * 10
    assert np.bincount(pairs.fold[pairs.same]).tolist() == [300] * 10
    assert all((shared_data / "lfw" / photo).is_file() for photo in pairs.photos)
