"""A gallery records which detector cut its crops, and is asked through that one, until it is migrated to another."""

import json
import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_model
from running import json_lines, run
from toy_gallery import MODEL, template
from toy_migration import ByHand, vectors_in

from facerec import DetectorSettings, Recogniser
from facerec.errors import ConfigError, ForeignDetectorError, GalleryError
from facerec.faces.alignment import TEMPLATE
from facerec.faces.detector import AlignedDetector, Detector
from facerec.gallery.archive_file import read_archive, write_archive
from facerec.gallery.enrolled import crops
from facerec.gallery.gallery import Gallery
from facerec.gallery.maintenance import keep_crops
from facerec.photos.reading import read_image
from facerec.recognition.enroll import enroll
from facerec.recognition.identify import detector_for, open_gallery
from facerec.recognition.migrate import Report, migrate, open_model_change
from facerec.types import Face, Image


class Cutter:
    """Finds the face of a photo of 112x112 pixels, and cuts it a few pixels beside where it is."""

    def __init__(self, name: str, beside: int) -> None:
        self.name, self.beside = name, beside

    def cut(self, image: Image) -> Image:
        return np.roll(image, self.beside, axis=1)

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        return [[Face(self.cut(image), (1.0, 1.0, 111.0, 111.0), TEMPLATE, 0.995)] for image in images]


MTCNN, YUNET = Cutter("mtcnn", 0), Cutter("yunet", 9)


class WithoutName:
    """A program's own detector that no gallery asks for its name."""

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        return MTCNN.detect(images)


@pytest.fixture
def model(tmp_path: Path) -> ByHand:
    return ByHand(tmp_path / "models", "by_hand", 7)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return [toy_model.save_crop(tmp_path / "photos" / f"{n}.png", 0, n) for n in range(3)]


def filled(folder: Path, model: ByHand, photos: list[Path], detector: Detector, *, kept: bool = False) -> Path:
    with open_gallery(folder, model, create=True) as gallery:
        keep_crops(gallery.store, kept)
        found = enroll(gallery, {"Ann": photos}, detector_for(gallery, detector, 112), model, force=True)
        assert [each.status for each in found] == ["added"] * len(photos)
    return folder


def vectors_by(model: ByHand, photos: list[Path], cutter: Cutter) -> dict[str, list[bytes]]:
    return {"Ann": [model.embed(cutter.cut(read_image(path))[None])[0].tobytes() for path in photos]}


# ---------------------------------------------------------------------------------------------------------- recorded


def test_the_first_photo_records_the_detector_and_another_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    with Gallery.open(folder, create=True) as gallery:
        gallery.bind_model(*MODEL)
        gallery.bind_detector("yunet")
        assert gallery.detector is None
        gallery.add("Ann", template(0))
        assert gallery.detector == "yunet"
        assert [e.facts for e in gallery.log()[0] if e.action == "detector bound"] == [{"detector": "yunet"}]
    with Gallery.open(folder) as gallery:
        gallery.bind_model(*MODEL)
        for fits in ("yunet", None):
            gallery.bind_detector(fits)
        with pytest.raises(ForeignDetectorError) as caught:
            gallery.bind_detector("mtcnn")
        assert str(caught.value) == (
            f"{folder}: its faces were cut by yunet, not by mtcnn; give `detector=yunet`, another `gallery`, or have "
            "this one changed by `facerec gallery migrate --model MODEL --detector mtcnn`"
        )
        gallery.remove("Ann")
        gallery.bind_detector("mtcnn")  # nobody is enrolled any more
        gallery.add("Ann", template(1))
        assert gallery.detector == "mtcnn"
        assert gallery.check().problems == ()


def test_of_two_processes_that_begin_a_gallery_the_first_to_enroll_decides(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    with Gallery.open(folder, create=True) as one, Gallery.open(folder) as other:
        for gallery, name in ((one, "mtcnn"), (other, "yunet")):
            gallery.bind_model(*MODEL)
            gallery.bind_detector(name)
        one.add("Ann", template(0))
        with pytest.raises(ForeignDetectorError, match="cut by mtcnn, not by yunet"):
            other.add("Bob", template(1))
        assert one.templates == 1


def test_aligned_crops_and_detectors_without_a_name_fit_every_gallery(
    tmp_path: Path, model: ByHand, photos: list[Path]
) -> None:
    folder = filled(tmp_path / "gallery", model, photos[:1], AlignedDetector())
    filled(folder, model, photos[1:2], WithoutName())
    with open_gallery(folder, model) as gallery:
        assert gallery.detector is None
    filled(folder, model, photos[2:], YUNET)
    with open_gallery(folder, model) as gallery:
        assert gallery.detector == "yunet"
        for detector in (AlignedDetector(), WithoutName(), YUNET):
            assert detector_for(gallery, detector, 112) is detector


def test_unless_one_is_named_the_gallery_s_own_is_used(tmp_path: Path, model: ByHand, photos: list[Path]) -> None:
    folder = filled(tmp_path / "gallery", model, photos, YUNET)
    with open_gallery(folder, model) as gallery:
        for wanted in (None, DetectorSettings(min_face_size=50), DetectorSettings(detector="yunet")):
            assert getattr(detector_for(gallery, wanted, 112), "name", None) == "yunet"
        with pytest.raises(ForeignDetectorError, match="cut by yunet, not by mtcnn"):
            detector_for(gallery, DetectorSettings(detector="mtcnn"), 112)
    filled(tmp_path / "other", model, photos, Cutter("somebody's", 3))
    said = "cut by somebody's, not by mtcnn; give `detector=somebody's`"
    with open_gallery(tmp_path / "other", model) as gallery, pytest.raises(ForeignDetectorError, match=said):
        detector_for(gallery, None, 112)


@pytest.mark.parametrize("name", ["", 5, "two\nlines", "half a \ud800"])
def test_a_name_that_cannot_be_recorded_is_refused(tmp_path: Path, model: ByHand, name: Any) -> None:
    said = "is no printable text; give it another, or none"
    with open_gallery(tmp_path / "gallery", model, create=True) as gallery, pytest.raises(ConfigError, match=said):
        detector_for(gallery, Cutter(name, 0), 112)


def test_enrolled_by_yunet_and_asked_without_a_word(
    tmp_path: Path, toy: Path, small_samples: Path, caplog: pytest.LogCaptureFixture
) -> None:
    people, folder = small_samples / "people", tmp_path / "gallery"
    photo = people / "Grace Hopper" / "official_portrait_1984.jpg"
    assert run("enroll", people, "--detector", "yunet", "--force", "--model", toy, gallery=folder).exit_code == 0
    caplog.set_level(logging.INFO, "facerec.faces.detector")
    asked = ["identify", photo, "--json", "--threshold", 1, "--model", toy]
    (line,) = json_lines(run(*asked, gallery=folder))
    assert (line["person"], round(line["distance"], 3)) == ("Grace Hopper", 0)
    assert [record.getMessage().split()[1] for record in caplog.records] == ["yunet"]
    refused = run(*asked, "--detector", "mtcnn", gallery=folder)
    assert (refused.exit_code, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert "cut by yunet, not by mtcnn; give --detector yunet, another --gallery" in refused.stderr
    with Recogniser(folder, model=toy) as recogniser:
        assert recogniser.identify(photo)[0].distance == pytest.approx(0, abs=1e-3)
    with pytest.raises(ForeignDetectorError):
        Recogniser(folder, model=toy, detector=DetectorSettings(detector="mtcnn"))


# ------------------------------------------------------------------------------------------------- export and import


def archive_of(folder: Path, model: ByHand, file: Path) -> dict:
    with open_gallery(folder, model) as gallery:
        gallery.export(file)
    with zipfile.ZipFile(file) as members:
        return json.loads(members.read("people.json"))


def test_export_and_import_carry_the_detector(tmp_path: Path, model: ByHand, photos: list[Path]) -> None:
    by = {None: AlignedDetector(), "mtcnn": MTCNN, "yunet": YUNET}
    for name, detector in by.items():
        folder = filled(tmp_path / f"{name}", model, photos, detector)
        content = archive_of(folder, model, tmp_path / f"{name}.npz")
        assert (content["detector"], content["version"]) == (name, 3 if name == "yunet" else 1)
        with open_gallery(tmp_path / f"copy of {name}", model, create=True) as gallery:
            gallery.import_archive(read_archive(tmp_path / f"{name}.npz"))
            assert gallery.detector == name
            assert gallery.check().problems == ()
    with open_gallery(tmp_path / "mtcnn", model) as gallery:
        with pytest.raises(
            ForeignDetectorError, match=r"cut by mtcnn, those in the file by yunet; import it into a new"
        ):
            gallery.import_archive(read_archive(tmp_path / "yunet.npz"))
        gallery.import_archive(read_archive(tmp_path / "None.npz"))


def test_a_file_from_before_holds_mtcnn_s_faces(tmp_path: Path, model: ByHand, photos: list[Path]) -> None:
    file = tmp_path / "club.npz"
    content = archive_of(filled(tmp_path / "gallery", model, photos, MTCNN), model, file)
    vectors = np.load(file)["vectors"]
    for detector, expected in (("missing", "mtcnn"), ("", None), (5, None), ("two\nlines", None)):
        changed = {key: value for key, value in content.items() if key != "detector"}
        changed |= {} if detector == "missing" else {"detector": detector}
        with zipfile.ZipFile(file, "w") as members:
            members.writestr("people.json", json.dumps(changed))
            with members.open("vectors.npy", "w") as opened:
                np.lib.format.write_array(opened, vectors)
        if expected is None:
            with pytest.raises(GalleryError, match="not a complete export of a gallery"):
                read_archive(file)
        else:
            assert read_archive(file).detector == expected
            write_archive(tmp_path / "again.npz", read_archive(file))


# --------------------------------------------------------------------------------------------------------- migration


def moved(folder: Path, model: ByHand, detector: Cutter, **rules) -> Report:
    with open_model_change(folder, model, detector.name) as change:
        *_, report = migrate(change, detector, model, **rules)
    assert isinstance(report, Report)
    return report


@pytest.mark.parametrize("kept", [False, True])
def test_another_detector_cuts_every_face_anew(tmp_path: Path, model: ByHand, photos: list[Path], kept: bool) -> None:
    folder = filled(tmp_path / "gallery", model, photos, MTCNN, kept=kept)
    trial = moved(folder, model, YUNET, dry_run=True)
    assert (trial.migrated, trial.photos, trial.crops) == (False, 3, 0)
    with open_gallery(folder, model) as gallery:
        assert gallery.detector == "mtcnn"
        assert same(kept_crops(gallery), [read_image(path) for path in photos] if kept else [])
    report = moved(folder, model, YUNET)
    assert (report.migrated, report.old_detector, report.new_detector, report.reused) == (True, "mtcnn", "yunet", 3)
    assert vectors_in(folder) == vectors_by(model, photos, YUNET)
    with open_gallery(folder, model) as gallery:
        assert gallery.detector == "yunet"
        assert same(kept_crops(gallery), [YUNET.cut(read_image(path)) for path in photos] if kept else [])
        assert gallery.check().problems == ()
        assert next(e.facts for e in gallery.log()[0] if e.action == "migrated")["detector"] == "yunet"
    assert run("gallery", "restore", "--from", "rollback", gallery=folder).exit_code == 0
    assert vectors_in(folder) == vectors_by(model, photos, MTCNN)
    with open_gallery(folder, model) as gallery:
        assert gallery.detector == "mtcnn"
        assert same(kept_crops(gallery), [read_image(path) for path in photos] if kept else [])


def same(some: list[Image], others: list[Image]) -> bool:
    return len(some) == len(others) and all(map(np.array_equal, some, others))


def kept_crops(gallery: Gallery) -> list[Image]:
    return [crop for crop in crops(gallery.store, "Ann") if crop is not None]


def test_a_migration_to_another_model_keeps_the_detector_and_the_crops(
    tmp_path: Path, model: ByHand, photos: list[Path]
) -> None:
    folder = filled(tmp_path / "gallery", model, photos, YUNET, kept=True)
    for path in photos:
        path.unlink()
    other = ByHand(tmp_path / "models", "other", 8)
    with open_model_change(folder, other) as change:
        *_, report = migrate(change, YUNET, other)
    assert isinstance(report, Report)
    assert (report.crops, report.old_detector, report.new_detector) == (3, "yunet", "yunet")
    with open_gallery(folder, other) as gallery:
        assert gallery.detector == "yunet"


def test_what_another_detector_cannot_cut_again(tmp_path: Path, model: ByHand, photos: list[Path]) -> None:
    folder = filled(tmp_path / "gallery", model, photos, MTCNN, kept=True)
    photos[0].unlink()
    report = moved(folder, model, YUNET)
    assert not report.migrated
    assert [(loss.person, loss.lost) for loss in report.losses] == [("Ann", 1)]
    assert moved(folder, model, YUNET, leave_out=True).migrated
    assert vectors_in(folder) == vectors_by(model, photos[1:], YUNET)


def test_nothing_to_migrate(tmp_path: Path, model: ByHand, photos: list[Path]) -> None:
    cut = filled(tmp_path / "cut", model, photos, YUNET)
    aligned = filled(tmp_path / "aligned", model, photos, AlignedDetector())
    for folder, detector in ((cut, None), (cut, "yunet"), (aligned, "yunet")):
        with pytest.raises(GalleryError, match="there is nothing to migrate"):
            open_model_change(folder, model, detector)


def test_the_command_moves_a_gallery_to_another_detector(tmp_path: Path, toy: Path, small_samples: Path) -> None:
    people, folder = small_samples / "people", tmp_path / "gallery"
    assert run("enroll", people, "--force", "--model", toy, gallery=folder).exit_code == 0
    done = run("gallery", "migrate", "--model", toy, "--detector", "yunet", gallery=folder)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "The gallery is of toy with yunet now" in done.stdout
    assert "were cut by mtcnn" in done.stdout
    (health,) = json_lines(run("doctor", "--model", toy, "--json", gallery=folder))
    assert health["gallery"].endswith("sound, faces cut by yunet")
