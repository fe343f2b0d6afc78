"""facerec.decision.calibration and the gallery's own threshold: against the strangers that are let through."""

import math
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from killing import killed_before
from oracles import gallery_threshold_by_loop
from toy_gallery import MODEL, make_format_4, nearest, opened, template, vector

from facerec.decision.calibration import TAIL, Calibration, calibrate, tail_distance
from facerec.errors import ConfigError, GalleryError
from facerec.gallery.gallery import Gallery

STRANGERS = np.stack([vector(5000 + i) for i in range(300)])


# ----------------------------------------------------------------------------------------------------- the threshold


@pytest.mark.parametrize("fpir", [0.01, 0.029, 0.1, 0.5])
@pytest.mark.parametrize("strangers", [99, 200, 1000])
def test_the_threshold_is_the_largest_that_lets_that_share_through(fpir: float, strangers: int) -> None:
    distances = np.random.default_rng(0).random(strangers).astype(np.float32)
    made = calibrate(distances, fpir, 7)
    assert made is not None
    within = sum(float(d) <= made.distance for d in distances)
    assert (made.within, made.strangers, made.people) == (within, strangers, 7)
    assert within / (strangers + 1) <= fpir + 1e-9 < (within + 1) / (strangers + 1)
    assert made.distance in distances.astype(np.float64)
    assert made.threshold.source == f"FPIR {100 * fpir:g} % at 7 people"


def test_new_strangers_come_within_it_as_often_as_it_says() -> None:
    """1,000 draws of 200 strangers to set it by and 150 to come, of a distribution it knows nothing about."""
    rng = np.random.default_rng(1)
    shares, covered, true_rates = [], [], []
    for _ in range(1000):
        distances = rng.gamma(3, 0.2, 350).astype(np.float32)
        made = calibrate(distances[:200], 0.05, 1)
        assert made is not None
        share = float(np.mean(distances[200:] <= made.distance))
        low, high = made.prediction(150)
        shares.append(share)
        covered.append(low <= share <= high)
        true_rates.append(made.interval[0] <= gamma_cdf(made.distance / 0.2) <= made.interval[1])
    assert np.mean(shares) == pytest.approx(10 / 201, abs=float(4 * np.std(shares) / math.sqrt(1000)))
    assert 0.93 <= np.mean(covered) <= 1
    assert 0.93 <= np.mean(true_rates) <= 0.97


def gamma_cdf(x: float) -> float:
    """Of shape 3."""
    return 1 - math.exp(-x) * (1 + x + x * x / 2)


def test_too_few_strangers_get_the_nearest_honest_statement() -> None:
    made = calibrate(np.linspace(1, 2, 300, dtype=np.float32), 0.001, 4)
    assert made is not None
    assert (made.within, made.fpir) == (0, 0.001)
    assert 0.999 < made.distance < 1
    assert made.threshold.source == "none of 300 strangers at 4 people: FPIR below 1.2 %"  # 1 - 0.025 ** (1 / 300)
    assert made.interval == (0, pytest.approx(1 - 0.025 ** (1 / 300)))
    low, high = made.prediction(1000)
    assert low == 0
    assert 0.003 < high < 0.02


def test_a_stranger_more_within_never_lowers_either_end_of_the_interval() -> None:
    ends = [Calibration(0.1, 1.0, 60, k, 5, least=k, most=k, worth=60.0).interval for k in range(61)]
    assert ends[0] == pytest.approx((0, 1 - 0.025 ** (1 / 60)))
    assert ends[1][1] == ends[0][1], "below the nearest of all the rate is no larger than within it"
    assert (np.diff(np.array(ends), axis=0) >= 0).all()


def test_rates_too_low_to_count_are_read_off_the_tail() -> None:
    """500 draws of 1,000 strangers for 0.02 %: by counting one would be let through 5 times as often."""
    rng = np.random.default_rng(2)
    shares, counted, sources = [], [], set()
    for _ in range(500):
        distances = (2 - rng.exponential(0.1, 1000)).astype(np.float32)
        made = calibrate(distances, 0.0002, 5)
        assert made is not None
        assert (made.within, made.distance < float(distances.min())) == (0, True)
        shares.append(math.exp((made.distance - 2) / 0.1))
        counted.append(math.exp((float(distances.min()) - 2) / 0.1))
        sources.add(made.threshold.source)
        assert made.interval == (0, pytest.approx(1 - 0.025 ** (1 / 1000)))
    assert np.mean(counted) > 4 * 0.0002
    assert np.mean(shares) == pytest.approx(0.0002, rel=0.25)
    assert sources == {"none of 1000 strangers at 5 people: FPIR below 0.37 %, by their tail 0.02 %"}


def test_the_tail_by_hand_and_never_beyond_the_nearest() -> None:
    ranked = np.arange(1000) / 1000 + 1  # the nearest tenth lies 0.001 to 0.1 below the next, 0.0505 on average
    assert tail_distance(ranked, TAIL / math.e) == pytest.approx(1.1 - 0.0505)
    made = calibrate(ranked.astype(np.float32), 0.0005, 2)
    assert made is not None
    assert made.distance == pytest.approx(1.1 - 0.0505 * math.log(200))
    near = np.concatenate([[0.1], 1 + np.arange(999) / 1e6]).astype(np.float32)  # a look-alike far before the tail
    made = calibrate(near, 0.0005, 2)
    assert made is not None
    assert made.distance < float(near[0])
    fewer = calibrate(ranked[:999].astype(np.float32), 0.0005, 2)
    assert fewer is not None
    assert fewer.distance == pytest.approx(1, abs=1e-6), "too few for a tail: just below the nearest, as ever"


def test_strangers_at_one_distance_are_let_through_together_or_not_at_all() -> None:
    distances = np.array([0.5, 0.7, 0.7, 0.7, 1, 1, 1, 1, 1, 1], np.float32)
    assert [found.within for fpir in (0.1, 0.2, 0.3, 0.4) if (found := calibrate(distances, fpir, 1))] == [1, 1, 1, 4]
    same = calibrate(np.zeros(10, np.float32), 0.2, 1)
    assert same is not None
    assert (same.within, same.distance) == (0, 0)


def test_no_strangers_and_no_rate() -> None:
    assert calibrate(np.zeros(0, np.float32), 0.01, 3) is None
    for fpir in (0, 1, -0.1, math.nan):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            calibrate(np.ones(5, np.float32), fpir, 3)


# ----------------------------------------------------------------------------------------------------- in a gallery


def with_cohort(folder: Path) -> Gallery:
    gallery = Gallery.open(folder, create=True)
    gallery.bind_model(*MODEL, STRANGERS)
    return gallery


def by_hand(gallery: Gallery, strangers: np.ndarray, fpir: float) -> float:
    """Every stranger against everybody's mean, the k-th nearest of them, moved and stretched by the people's kind."""
    people = {p.name: [vector(int(t.photo_hash, 16)) for t in gallery.show(p.name)] for p in gallery.people()}
    return gallery_threshold_by_loop(people, list(strangers), fpir)


def test_the_threshold_follows_every_change(tmp_path: Path) -> None:
    with with_cohort(tmp_path / "gallery") as gallery:
        assert gallery.threshold == MODEL[3]  # nobody to be taken for: the card's
        seen = set()
        for number, person in enumerate(["Ann", "Bob", "Bob", "Cy", "Dee"]):
            gallery.add(person, template(number))
            threshold = gallery.threshold
            assert threshold is not None
            assert threshold.distance == pytest.approx(by_hand(gallery, STRANGERS, 0.01), abs=2e-3)  # kept as float16
            assert threshold.source.endswith(" person" if person == "Ann" else f"at {len(gallery)} people")
            seen.add(threshold.distance)
        assert len(seen) > 1
        gallery.remove("Ann")
        threshold = gallery.threshold
        assert threshold is not None
        assert threshold.distance == pytest.approx(by_hand(gallery, STRANGERS, 0.01), abs=2e-3)
        assert threshold == with_cohort(tmp_path / "gallery").threshold


def test_it_is_kept_until_the_gallery_changes(tmp_path: Path) -> None:
    with with_cohort(tmp_path / "gallery") as gallery, with_cohort(tmp_path / "gallery") as other:
        gallery.add("Ann", template(0))
        made = gallery.calibration()
        assert made is not None
        assert kept(tmp_path / "gallery") == made.distance
        other.rename("Ann", "Anna")
        other.add("Anna", template(1))
        assert gallery.calibration() != made
        assert gallery.calibration(0.1) != gallery.calibration()
        assert kept(tmp_path / "gallery") == gallery.calibration().distance  # type: ignore[union-attr]


def kept(folder: Path) -> float:
    with closing(sqlite3.connect(folder / "gallery.db")) as db:
        return db.execute("SELECT distance FROM calibration").fetchone()[0]


def test_target_and_strangers_of_ones_own(tmp_path: Path) -> None:
    near = np.stack([(vector(0) + 0.3 * vector(9000 + i)) for i in range(40)])
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    with with_cohort(tmp_path / "gallery") as gallery:
        gallery.add("Ann", template(0))
        before = gallery.calibration()
        gallery.set_calibration(strangers=near.astype(np.float32), source="visitors")
        after = gallery.calibration()
        assert before is not None
        assert after is not None
        assert (before.strangers, after.strangers) == (300, 340)
        assert after.distance < before.distance
        gallery.set_calibration(0.2)
        wider = gallery.calibration()
        assert wider is not None
        assert (wider.fpir, wider.within) == (0.2, 68)
        gallery.set_calibration(strangers=near[:0], source="nobody")
        gallery.set_calibration(0.01)
        assert gallery.calibration() == before
        with pytest.raises(ConfigError, match="between 0 and 1"):
            gallery.set_calibration(1)


def test_target_and_strangers_are_set_together_or_not_at_all(tmp_path: Path) -> None:
    """Killed before any statement or change of a file."""
    with with_cohort(tmp_path / "whole") as gallery:
        gallery.add("Ann", template(0))

    def change(folder: Path) -> None:
        with with_cohort(folder) as gallery:
            gallery.set_calibration(0.2, strangers=STRANGERS[:40], source="visitors")

    seen, step, killed = [], 0, True
    while killed:
        step += 1
        folder = tmp_path / str(step)
        shutil.copytree(tmp_path / "whole", folder)
        killed = killed_before(step, partial(change, folder))
        with with_cohort(folder) as gallery:
            made = gallery.calibration()
            assert made is not None
            seen.append((made.fpir, made.strangers))
            actions = [entry.action for entry in gallery.log()[0]]
            assert ("strangers set" in actions) == ("target set" in actions) == (made.fpir == 0.2)
    assert set(seen) == {(0.01, 300), (0.2, 340)}
    assert seen == sorted(seen)


def test_a_target_that_is_none_leaves_the_strangers(tmp_path: Path) -> None:
    with with_cohort(tmp_path / "gallery") as gallery:
        gallery.add("Ann", template(0))
        for fpir, rows, error in ((2, STRANGERS[:40], ConfigError), (0.2, 2 * STRANGERS[:40], GalleryError)):
            with pytest.raises(error):
                gallery.set_calibration(fpir, strangers=rows, source="visitors")
        made = gallery.calibration()
        assert made is not None
        assert (made.fpir, made.strangers) == (0.01, 300)


def test_another_model_of_an_empty_gallery_brings_its_own_strangers(tmp_path: Path) -> None:
    with with_cohort(tmp_path / "gallery") as gallery:
        gallery.set_calibration(strangers=STRANGERS[:5], source="visitors")
        gallery.bind_model("e" * 64, "other", 16, None, STRANGERS[:50])
        gallery.add("Ann", template(0))
        made = gallery.calibration()
        assert made is not None
        assert made.strangers == 50


def test_a_gallery_that_may_only_be_read_is_calibrated_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    with with_cohort(folder) as gallery:
        gallery.add("Ann", template(0))
        expected = gallery.threshold
        gallery.add("Bob", template(1))  # what was kept is of the gallery before
    for path in (*folder.iterdir(), folder):
        path.chmod(0o500 if path == folder else 0o400)
    try:
        with with_cohort(folder) as gallery:
            assert gallery.threshold is not None
            assert gallery.threshold != expected
    finally:
        folder.chmod(0o700)


def test_a_gallery_of_the_first_format_learns_of_strangers(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    with opened(folder) as gallery:
        gallery.add("Ann", template(0))
    make_old(folder)
    shutil.copytree(folder, tmp_path / "read only")
    with with_cohort(folder) as gallery:
        assert nearest(gallery, 0) == "Ann"
        assert gallery.calibration() is not None
        assert gallery.check().problems == ()
    for path in (*(tmp_path / "read only").iterdir(), tmp_path / "read only"):
        path.chmod(0o500)
    try:
        with with_cohort(tmp_path / "read only") as gallery:
            assert nearest(gallery, 0) == "Ann"
            assert gallery.threshold is not None
    finally:
        (tmp_path / "read only").chmod(0o700)


def make_old(folder: Path) -> None:
    """As facerec wrote galleries before there were calibrations."""
    make_format_4(folder)
    with closing(sqlite3.connect(folder / "gallery.db", isolation_level=None)) as db:
        for statement in ("DROP TABLE strangers", "DROP TABLE calibration", "ALTER TABLE gallery DROP COLUMN fpir"):
            db.execute(statement)
        db.execute("PRAGMA user_version = 1")
