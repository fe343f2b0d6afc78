"""Photos that fail: every protocol counts them alike, and no failure makes a model look better."""

import itertools
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_classes
import toy_failures
import toy_model
from complaints import one_refusal
from report_pages import read
from running import json_lines, run
from toy_failures import cut, darken, spoil

from facerec.datasets.pairs import Pairs, person_of, read_pairs
from facerec.errors import DataError
from facerec.evaluation import classification, gallery_sizes, identification, verification
from facerec.evaluation.failures import Failures
from facerec.metrics.intervals import value
from facerec.types import Threshold

dark = toy_failures.dark

Row = np.ndarray | None
Broken = set[str]

# ---------------------------------------------------------------------- what no failure may do, whatever the protocol


MANY, SINGLE = [f"m{i}" for i in range(12)], [f"s{i}" for i in range(24)]
PHOTOS = [f"{p}/{i}" for p in MANY for i in range(4)] + [f"{p}/0" for p in SINGLE]


def some_pairs() -> Pairs:
    """As LFW's: all genuine pairs and as many impostor pairs, many of which are of people of one photo; four folds."""
    rng = np.random.default_rng(0)
    genuine = [(f"{p}/{i}", f"{p}/{j}", True) for p in MANY for i in range(4) for j in range(i)]
    drawn = (rng.choice(PHOTOS, 2, replace=False).tolist() for _ in itertools.count())
    impostor = [(a, b, False) for a, b in itertools.islice(drawn, 90) if person_of(a) != person_of(b)][: len(genuine)]
    a, b, same = zip(*genuine, *impostor, strict=True)
    return Pairs(a, b, np.array(same), rng.permutation(len(a)) % 4)


PAIRS = some_pairs()


class AtChance:
    """What a network without skill makes of the photos: random vectors, and random answers."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(len(PHOTOS), 16)).astype(np.float32)
        self.rows = dict(zip(PHOTOS, rows / np.linalg.norm(rows, axis=1, keepdims=True), strict=True))
        self.answers = dict(zip(PHOTOS, rng.dirichlet(np.ones(3), len(PHOTOS)), strict=True))

    def row(self, photo: str, broken: Broken) -> Row:
        return None if photo in broken else self.rows[photo]


Rates = dict[str, Any]
Counts = dict[str, Any]


def verified(at: AtChance, broken: Broken) -> tuple[Rates, Counts]:
    vectors = {photo: at.row(photo, broken) for photo in PHOTOS}
    found = verification.verification(PAIRS, vectors)
    distances = verification.pair_distances(PAIRS, vectors)
    group = verification.by_group(distances, PAIRS, ["all"] * len(distances), {})["all"]
    rates = {"AUC": found.auc, "accuracy": found.accuracy_mean, "TAR": found.tar_at_fmr["1e-2"]}
    rates |= {"accuracy of a group": group["accuracy"], "AUC of a group": group["auc"]}
    counts = {"pairs": found.pairs, "genuine": found.genuine, "impostor": found.impostor}
    return rates, counts | {f"{name} of a group": group[name] for name in counts}


def identified(at: AtChance, broken: Broken) -> tuple[Rates, Counts]:
    enrolled = {person: [at.row(f"{person}/{i}", broken) for i in range(2)] for person in MANY}
    probes = {person: [at.row(f"{person}/{i}", broken) for i in range(2, 4)] for person in MANY}
    probes |= {person: [at.row(f"{person}/0", broken)] for person in SINGLE}
    limit = Threshold(1.5, "made up")
    searches = identification.search_all(enrolled, probes)
    found = identification.summarise(searches, enrolled, limit)
    (size,) = gallery_sizes.by_gallery_size(enrolled, probes, [6], np.zeros((0, 16), np.float32), limit)
    group = identification.by_group(searches, ["all"] * len(searches.mated), limit, {})["all"]
    fnirs = {"TAR": found.fnir_at_fpir["0.1"], "TAR of a group": group["fnir_at_fpir"]["0.1"]}
    fnirs |= {"TAR at the threshold": found.fnir_at_gallery_threshold, "of a size": size.fnir_at_gallery_threshold}
    rates = {name: None if fnir is None else 1 - fnir for name, fnir in fnirs.items()}
    counts: Counts = {name: getattr(found, name) for name in ("people", "mated_searches", "nonmated_searches")}
    by_size = {f"{name} of a size": getattr(size, name) for name in counts}
    return rates | {"rank 1": found.rank1_rate}, counts | by_size


def classified(at: AtChance, broken: Broken) -> tuple[Rates, Counts]:
    labels = [i % 3 for i in range(len(PHOTOS))]
    rows = [None if photo in broken else row for photo, row in at.answers.items()]
    found = classification.classification(labels, rows, 3)
    return {"AUC": found.roc_auc, "accuracy": found.accuracy}, {"images": found.images}


PROTOCOLS = {"verification": verified, "identification": identified, "classification": classified}
Protocol = Callable[[AtChance, Broken], tuple[Rates, Counts]]


@pytest.fixture
def no_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of the time, and are not looked at here."""

    def first(nest: Any) -> Any:
        return {name: first(part) for name, part in nest.items()} if isinstance(nest, dict) else value(nest[0])

    def measured(statistic: Callable[[np.ndarray], Any], people: Any, *_: object) -> tuple[Any, dict[str, Any]]:
        return first(statistic(np.ones((1, len(people))))), {}

    for module in (verification, identification, gallery_sizes):
        monkeypatch.setattr(module, "measured", measured)
    monkeypatch.setattr(verification, "_intervals", lambda *_: {})
    monkeypatch.setattr(classification, "interval", lambda _: None)
    monkeypatch.setattr(classification, "REPLICATES", 1)
    monkeypatch.setattr(gallery_sizes, "DRAWS", 2)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
@pytest.mark.usefixtures("no_intervals")
def test_broken_photos_do_not_help_a_network_at_chance(protocol: Protocol) -> None:
    """Over 200 random subsets, each for another network, no figure gains more than 3 standard errors of the gain."""
    gains: dict[str, list[float]] = defaultdict(list)
    for seed in range(200):
        at, rng = AtChance(seed), np.random.default_rng((seed, 1))
        lost = rng.uniform(size=len(PHOTOS)) < rng.uniform(0.05, 0.6)
        whole, counts = protocol(at, set())
        rates, left = protocol(at, {PHOTOS[i] for i in np.flatnonzero(lost)})
        assert left == counts, "no count of searches, pairs or photos shrinks in silence"
        for name in whole:
            gains[name].append(rates[name] - whole[name])
    for name, gain in gains.items():
        assert np.mean(gain) <= 3 * np.std(gain, ddof=1) / np.sqrt(len(gain)), name


@pytest.mark.usefixtures("no_intervals")
def test_without_the_people_of_one_photo_a_network_at_chance_stays_there() -> None:
    """They are in impostor pairs alone, and all strangers are of them. Each was right for want of a face."""
    broken = {f"{person}/0" for person in SINGLE}
    figures = [(verified(at, broken)[0], identified(at, broken)[0]) for at in map(AtChance, range(40))]
    areas = np.array([pairs["AUC"] for pairs, _ in figures], np.float64)
    assert abs(areas.mean() - 0.5) < 3 * areas.std(ddof=1) / np.sqrt(len(areas))
    assert {searches["TAR"] for _, searches in figures} == {None}, "no stranger is left to set a threshold by"


def numerators(at: AtChance, broken: Broken) -> np.ndarray:
    """How many comparisons, searches and answers are right."""
    limit = Threshold(1.7, "made up")
    vectors = {photo: at.row(photo, broken) for photo in PHOTOS}
    pairs = Pairs(PAIRS.a, PAIRS.b, PAIRS.same, None)
    best: Any = verification.verification(pairs, vectors)
    fixed: Any = verification.at_thresholds(
        verification.pair_distances(pairs, vectors), pairs.same, {"x": limit.distance}
    )
    matched = (1 - fixed["fnmr_at_threshold"]["x"]) * best.genuine
    compared = best.impostor - best.failures_to_enrol_impostor
    gallery = {person: [at.rows[f"{person}/{i}"] for i in range(2)] for person in MANY}
    probes = {person: [at.row(f"{person}/{i}", broken) for i in range(2, 4)] for person in MANY}
    found: Any = identification.identification(gallery, probes | {"s0": [at.rows["s0/0"]]}, limit)
    _, counts = classified(at, broken)
    accuracy: Any = classified(at, broken)[0]["accuracy"]
    return np.array(
        [
            matched,
            matched + (1 - fixed["fmr_at_threshold"]["x"]) * compared,
            best.accuracy_mean * (best.genuine + compared),
            found.rank1_rate * found.mated_searches,
            (1 - found.fnir_at_gallery_threshold) * found.mated_searches,
            accuracy * counts["images"],
        ]
    )


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.usefixtures("no_intervals")
def test_one_more_failure_never_adds_to_a_numerator(seed: int) -> None:
    """Of TAR, at a given distance; of accuracy, at a given distance and at the best one; of searches; of classes."""
    at, broken = AtChance(seed), set()
    before = numerators(at, broken)
    for photo in np.random.default_rng(seed).permutation(PHOTOS)[:50].tolist():
        broken.add(photo)
        now = numerators(at, broken)
        assert now == pytest.approx(np.rint(now)), "counts"
        assert (now <= before + 1e-6).all()
        before = now


# --------------------------------------------------------------------------------------------------- from the files


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Three people with three photos each."""
    for person in range(3):
        for photo in range(3):
            toy_model.save_crop(tmp_path / "people" / f"p{person}" / f"{photo}.png", person, photo)
    return tmp_path / "people"


def write_pairs(people: Path) -> Path:
    rows = [f"p{a}/0.png,p{b}/1.png,{int(a == b)}" for a in range(3) for b in range(3)]
    path = people.parent / "pairs.csv"
    path.write_text("\n".join(["a,b,same", *rows]), "utf-8")
    return path


def commands(people: Path, toy: Path) -> dict[str, list[object]]:
    """The three protocols on the same folder of photos."""
    if not (people.parent / "colours").exists():
        toy_classes.write_classifier(people.parent / "colours", tuple(sorted(p.name for p in people.iterdir())))
    aligned = ["--aligned", "--model", toy]
    return {
        "verification": ["--images", people, "--pairs", write_pairs(people), *aligned],
        "identification": ["--gallery-images", people, "--probe-images", people, *aligned],
        "classification": ["--images", people, "--model", people.parent / "colours"],
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_unreadable_photos_are_refused_in_one_line_or_left_out(protocol: str, people: Path, toy: Path) -> None:
    """One shows when the file is opened, one when it is decoded."""
    spoiled, damaged = spoil(people / "p1" / "0.png"), cut(people / "p2" / "1.png")
    command = ("evaluate", protocol, *commands(people, toy)[protocol])
    one_refusal(run(*command), "photos is unreadable, the first " + str(spoiled), "leave such photos out with --skip-")
    shutil.copy(people / "p1" / "1.png", spoiled)
    one_refusal(run(*command), "photos is unreadable, the first " + str(damaged), "damaged or cut off")
    spoil(spoiled)
    result = run(*command, "--skip-missing", "--json")
    (line,) = json_lines(result)
    (said, *_) = result.stderr.splitlines()
    assert said.startswith(f"2 photos unreadable and left out, the first {spoiled}: ") or "byte for byte" in said
    assert (line["photos_unreadable"], line["photos_missing"]) == (2, 0)
    assert line["skipped"] == (5 if protocol == "verification" else 2)
    assert line.get("failures_to_enrol", 0) == 0
    assert line["photos"] == (6 if protocol == "verification" else 9)


def test_missing_photos_are_refused_before_the_model_is_loaded(people: Path, toy: Path) -> None:
    shutil.rmtree(people / "p2")
    (people / "p0" / "0.png").unlink()
    command = ["evaluate", "verification", *commands(people, toy)["verification"]]
    words = "3 of 6 photos are missing, the first " + str(people / "p0" / "0.png")
    (people.parent / "no model").mkdir()
    result = run(*command[:-1], people.parent / "no model")
    one_refusal(result, words, "no such file; add them, or leave such photos out with --skip-missing")
    result = run(*command, "--skip-missing", "--json", "--report", people.parent / "out")
    assert result.exit_code == 0, "as asked for"
    (line,) = json_lines(result)
    assert (line["pairs"], line["genuine"], line["skipped"]) == (2, 1, 7)
    assert (line["photos"], line["photos_missing"], line["photos_without_face"]) == (6, 3, 0)
    assert result.stderr.splitlines()[0].startswith("3 photos missing and left out, the first ")
    assert "missing, left out 3" in " ".join(read(people.parent / "out").text.split())
    assert "missing, left out" in run(*command, "--skip-missing").stdout


def test_nothing_left_is_one_line(people: Path, toy: Path) -> None:
    command = ["evaluate", "verification", *commands(people, toy)["verification"]]
    shutil.rmtree(people)
    people.mkdir()
    one_refusal(run(*command, "--skip-missing"), "not one photo (of 6) can be read, the first", "no such file")


def test_pairs_that_are_all_left_out_are_one_line(people: Path, toy: Path) -> None:
    command = ["evaluate", "verification", *commands(people, toy)["verification"]]
    for person in range(3):
        (people / f"p{person}" / "0.png").unlink()
    one_refusal(run(*command, "--skip-missing"), "pairs.csv: no pair is left, the first", "0.png: no such file")


def test_people_whose_photos_are_all_left_out_stay_mated(people: Path, toy: Path, tmp_path: Path) -> None:
    shutil.copytree(people, tmp_path / "gallery")
    for photo in range(3):
        spoil(tmp_path / "gallery" / "p1" / f"{photo}.png")
    command = ("evaluate", "identification", "--gallery-images", tmp_path / "gallery", "--probe-images", people)
    (line,) = json_lines(run(*command, "--aligned", "--model", toy, "--skip-missing", "--json"))
    assert (line["people"], line["mated_searches"], line["nonmated_searches"]) == (3, 9, 0)
    assert (line["rank1_rate"], line["skipped"], line["failures_to_enrol"]) == (6 / 9, 3, 0)


def test_people_without_photos_stay_mated_and_it_is_said(people: Path, toy: Path, tmp_path: Path) -> None:
    """A link to what is not there, an empty folder, and one whose photos are all left out."""
    gallery, probes = (shutil.copytree(people, tmp_path / side) for side in ("gallery", "probes"))
    shutil.rmtree(gallery / "p1")
    (gallery / "p1").symlink_to("/nowhere/p1")
    folders = ["--gallery-images", gallery, "--probe-images", probes]
    command = ("evaluate", "identification", *folders, "--aligned", "--model", toy)
    one_refusal(run(*command), f"photos is missing, the first {gallery / 'p1'}: no such file", "--skip-missing")
    for empty in (gallery / "p0", probes / "p2"):
        shutil.rmtree(empty)
        empty.mkdir()
    result = run(*command, "--skip-missing", "--json")
    (line,) = json_lines(result)
    assert (line["people"], line["mated_searches"], line["nonmated_searches"]) == (3, 6, 0)
    assert (line["photos_missing"], line["rank1_rate"]) == (1, 0)
    assert [said for said in result.stderr.splitlines() if "without a photo" in said] == [
        "2 people without a photo in --gallery-images (all photos of 1 were left out), the first p0: "
        "their searches miss",
        "1 person without a photo in --probe-images, the first p2: nobody searches for them",
    ]


@pytest.mark.usefixtures("dark")
def test_faces_that_are_missing_or_poor_are_in_json_text_and_report(people: Path, toy: Path, tmp_path: Path) -> None:
    """The made-up faces are noise on a plain colour: sharp. One is blurred, as after enlarging."""
    darken(people / "p1" / "0.png")
    toy_failures.blur(people / "p2" / "1.png")
    command = ("evaluate", "verification", *commands(people, toy)["verification"])
    result = run(*command, "--json", "--report", tmp_path / "out")
    (line,) = json_lines(result)
    assert result.exit_code == 1
    assert (line["photos_without_face"], line["poor_faces"], line["skipped"]) == (1, 1, 0)
    assert (line["failures_to_enrol"], line["failures_to_enrol_impostor"]) == (3, 2)
    shown = " ".join(run(*command).stdout.split())
    page = " ".join(read(tmp_path / "out").text.split())
    for words in ("without a usable face, counted as failed", "too poor to be enrolled, used"):
        assert words in shown
        assert words in page
    assert len(result.stderr.splitlines()) == 2, "one line for the photo without a face, one for the report"
    said = run(*command, "--verbose").stderr
    assert f"{people / 'p2' / '1.png'}: the face is blurred" in said


def test_messages_are_one_for_a_kind() -> None:
    failures = Failures()
    assert (failures.lines(), failures.remark(), failures.counts()["photos"]) == ([], "", 0)
    with pytest.raises(DataError, match=r"^2 of 2 photos are missing, the first a\.jpg: no such file; add them, or "):
        failures.readable([Path("a.jpg"), Path("b.jpg"), Path("a.jpg")])


# ------------------------------------------------------------------------------------------ photos of other endings


def test_converted_photos_are_found_and_it_is_said_once(people: Path, toy: Path) -> None:
    """The list names .png; the photos became .webp, and one a crop .png.png."""
    command = ["evaluate", "verification", *commands(people, toy)["verification"]]
    (before,) = json_lines(run(*command, "--json"))
    for path in sorted(people.rglob("*.png")):
        toy_failures.convert(path, ".WebP")
    result = run(*command, "--json")
    (line,) = json_lines(result)
    assert (result.exit_code, line["pairs"], line["photos_missing"]) == (0, 9, 0)
    assert line["auc"] == before["auc"]
    (said,) = result.stderr.splitlines()
    assert said.endswith("pairs.csv: 6 photos taken under another ending, the first p0/0.WebP for p0/0.png")


@pytest.mark.real
def test_lfw_without_people_of_one_photo(shared_data: Path, tmp_path: Path) -> None:
    """Of the 3,000 impostor pairs 229 are left: refused in one line, before a model is loaded."""
    folders = sorted(path for path in (shared_data / "lfw").iterdir() if path.is_dir())
    (tmp_path / "lfw").mkdir()
    for folder in folders:
        if len(list(folder.iterdir())) > 1:
            (tmp_path / "lfw" / folder.name).symlink_to(folder)
    command = ("evaluate", "verification", "--images", tmp_path / "lfw", "--pairs", shared_data / "lfw_pairs.txt")
    one_refusal(run(*command, "--model", tmp_path), "photos are missing, the first", "--skip-missing")
    pairs = read_pairs(shared_data / "lfw_pairs.txt")
    there = [photo for photo in pairs.photos if (tmp_path / "lfw" / photo).exists()]
    left, skipped = verification.with_photos(pairs, there)
    assert (left.same.sum(), (~left.same).sum(), skipped) == (3000, 229, 2771)
