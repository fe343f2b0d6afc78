"""The Python face: photos from anywhere, eager and streaming, refusals in one line, eight threads at once."""

import io
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import toy_model

from facerec import DetectorSettings, FacerecError, Recogniser, TrainSettings, train
from facerec.errors import ConfigError, GalleryError, ImageError, NoFaceError, UnknownPersonError
from facerec.faces.detector import AlignedDetector
from facerec.inference.face_model import FaceModel, load
from facerec.search.growing import GrowingArray
from facerec.search.people import PeopleIndex
from facerec.types import Face, Image, Threshold


@pytest.fixture
def model(toy: Path) -> FaceModel:
    return load(toy, detector=AlignedDetector())


def encoded(crop: np.ndarray) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(crop).save(file, "PNG")
    return file.getvalue()


FORMS: dict[str, Callable[[Path], object]] = {
    "text": str,
    "path": lambda path: path,
    "bytes": lambda path: path.read_bytes(),
    "pil": PIL.Image.open,
    "array": lambda path: np.array(PIL.Image.open(path)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_photo_in_any_form_gets_the_same_answer(form: str, club: Recogniser, crops: Path) -> None:
    (face,) = club.identify(FORMS[form](crops / "ann.png"))  # type: ignore[arg-type]
    (known,) = club.identify(crops / "ann.png")
    assert (face.person, face.distance) == (toy_model.NAMES[0], known.distance)
    assert face.reason == known.reason


@pytest.mark.parametrize("form", FORMS)
def test_a_photo_in_any_form_is_enrolled(form: str, toy: Path, crops: Path, tmp_path: Path) -> None:
    photo = crops / "ann.png"
    with Recogniser(tmp_path / "g", create=True, model=toy, detector=AlignedDetector()) as club:
        assert club.enroll({"Ann Lee": [FORMS[form](photo)]}).added == 1  # type: ignore[list-item]
        again = club.enroll({"Ann Lee": [FORMS[form](photo)]})  # type: ignore[list-item]
        assert (again.added, again.skipped) == (0, 1)
        assert club.gallery.check().problems == ()
        ((template,),) = [club.gallery.show("Ann Lee")]
    assert (template.source == str(photo.resolve())) == (form in ("text", "path"))
    if form not in ("text", "path"):
        assert template.source.startswith("memory: ")


def test_a_file_and_its_bytes_are_one_photo(toy: Path, crops: Path, tmp_path: Path) -> None:
    with Recogniser(tmp_path / "g", create=True, model=toy, detector=AlignedDetector()) as club:
        found = club.enroll({"Ann Lee": [crops / "ann.png", (crops / "ann.png").read_bytes()]})
    assert (found.added, found.skipped, found.failed) == (1, 1, ())


def test_what_can_be_used_is_enrolled_and_the_rest_reported(club: Recogniser, crops: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo", "utf-8")
    photos = [tmp_path / "text.jpg", crops / "stranger.png", np.zeros((4, 4), np.float32)]
    found = club.enroll({"Dan": photos})  # type: ignore[dict-item]
    assert str(found) == "3 photos: 1 added, 0 skipped, 2 failed"
    assert ["text.jpg" in result.reason or "Dan 3" in result.reason for result in found.failed] == [True, True]
    assert [person.name for person in club.people()] == sorted([*toy_model.NAMES, "Dan"])


def test_a_stranger_is_nobody_and_everybody_can_be_listed_verified_and_removed(club: Recogniser, crops: Path) -> None:
    (face,) = club.identify(crops / "stranger.png")
    assert face.person is None
    assert "above the threshold" in face.reason
    assert club.verify(crops / "ann.png", crops / "people" / toy_model.NAMES[0] / "0.png").same
    assert not club.verify(crops / "ann.png", crops / "stranger.png").same
    assert club.remove(toy_model.NAMES[0]) == 2
    assert toy_model.NAMES[0] not in [person.name for person in club.people()]
    with pytest.raises(UnknownPersonError):
        club.remove(toy_model.NAMES[0])


class _TwoFaces(AlignedDetector):
    """Finds every face twice."""

    def detect(self, images: Sequence[Image]) -> list[list[Face]]:
        return [faces * 2 for faces in super().detect(images)]


def test_a_program_may_go_to_another_folder(
    toy: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Recogniser("club", create=True, model=toy, detector=AlignedDetector()) as club:
        club.enroll(crops / "people")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        name = club.people()[0].name
        club.remove(name)
        assert not any(name.encode() in file.read_bytes() for file in (tmp_path / "club").iterdir())
        assert list((tmp_path / "elsewhere").iterdir()) == []


def test_verify_compares_by_the_models_card_and_says_that_there_are_more_faces(
    toy: Path, crops: Path, tmp_path: Path
) -> None:
    """As `facerec verify` does; the gallery's threshold depends on who is enrolled."""
    with Recogniser(tmp_path / "club", create=True, model=toy, detector=_TwoFaces()) as club:
        club.enroll(crops / "people")
        club.calibrate(0.9, [toy_model.crop(person, 0) for person in range(50, 60)])
        found = club.verify(crops / "ann.png", toy_model.crop(0, 5))
        assert club.threshold != found.threshold == Threshold(0.5, toy_model.THRESHOLD["source"])
    ann, other = found.remarks
    assert ann == f"{crops / 'ann.png'}: has 2 faces; the main one is compared"
    assert other.endswith("photo: has 2 faces; the main one is compared")


def test_one_photo_is_removed_and_enrolled_again_only_if_that_is_meant(club: Recogniser, crops: Path) -> None:
    ann, photos = toy_model.NAMES[0], sorted((crops / "people" / toy_model.NAMES[0]).iterdir())
    assert club.remove(ann, photos[0].read_bytes()) == 1
    assert club.remove(ann, club.gallery.show(ann)[0].photo_hash[:12]) == 1
    assert ann not in [person.name for person in club.people()], "that was the last one"
    (one,) = club.enroll({ann: photos}).for_one_reason
    assert one.reason.startswith(f"{ann}: all 2 photos were removed on 20")
    assert [result.status for result in club.iter_enroll({ann: photos}, again=True)] == ["added", "added"]
    (one,) = club.enroll({"Ann Ray": photos}).for_one_reason
    assert (one.person, one.photos) == ("Ann Ray", tuple(photos))
    assert f"`facerec gallery rename '{ann}' 'Ann Ray'`" in one.reason


def test_calibrate_by_strangers_of_ones_own(club: Recogniser) -> None:
    assert club.calibrate() is None, "the toy model brings no strangers"
    strangers = [toy_model.crop(person, 0) for person in range(50, 150)]
    found = club.calibrate(fpir=0.05, strangers=strangers)
    assert found is not None
    assert (found.fpir, found.strangers) == (0.05, 100)
    assert club.threshold == found.threshold
    with pytest.raises(ConfigError):
        club.calibrate(fpir=2)


def test_streaming_goes_on_after_a_photo_that_cannot_be_used(club: Recogniser, crops: Path, tmp_path: Path) -> None:
    photos = [crops / "ann.png", tmp_path / "missing.jpg", np.zeros((2, 2), np.uint8), crops / "stranger.png"]
    found = list(club.iter_identify(photos))
    assert [face.person for face in found] == [toy_model.NAMES[0], None, None, None]
    assert [type(face.error) for face in found] == [type(None), ImageError, ImageError, type(None)]
    assert "missing.jpg" in found[1].reason
    assert "photo 3" in found[2].reason
    assert str(found[0]).startswith(f"{crops / 'ann.png'}: {toy_model.NAMES[0]} (")


BAD = {
    "grey": (np.zeros((8, 8), np.uint8), "grey image"),
    "rgba": (np.zeros((8, 8, 4), np.uint8), "RGBA image"),
    "float": (np.zeros((8, 8, 3), np.float32), "uint8, 0 to 255"),
    "empty": (np.zeros((0, 8, 3), np.uint8), "no pixel"),
    "batch": (np.zeros((2, 8, 8, 3), np.uint8), "(2, 8, 8, 3)"),
    "number": (7, "int"),
    "no image": (b"no image", "not an image"),
    "no bytes": (b"", "empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_photo_gets_one_line_that_says_what_is_expected(name: str, club: Recogniser) -> None:
    photo, words = BAD[name]
    for ask in (club.identify, lambda given: club.verify(given, given)):
        with pytest.raises(ImageError) as caught:
            ask(photo)  # type: ignore[arg-type]
        message = str(caught.value)
        assert words in message
        assert len(message.splitlines()) == 1
        assert isinstance(photo, bytes) or "(H, W, 3) uint8 RGB" in message


def test_embed_gives_a_row_per_photo_in_order(model: FaceModel, crops: Path) -> None:
    photos = [crops / "ann.png", toy_model.crop(5, 0), (crops / "stranger.png").read_bytes()]
    rows = model.embed(photos)
    assert (rows.shape, rows.dtype) == ((3, toy_model.DIMENSION), np.float32)
    np.testing.assert_allclose(rows[1], toy_model.vector(toy_model.crop(5, 0)), atol=1e-5)
    np.testing.assert_array_equal(model.embed(np.stack([toy_model.crop(5, 0)] * 2), aligned=True), rows[[1, 1]])
    assert model.embed([]).shape == (0, toy_model.DIMENSION)
    (face,) = model.faces(crops / "ann.png")
    assert face.vector is not None
    np.testing.assert_array_equal(face.vector, rows[0])


def test_one_photo_is_no_list_of_photos(model: FaceModel, club: Recogniser, crops: Path) -> None:
    for one in (str(crops / "ann.png"), crops / "ann.png", b"x", toy_model.crop(0, 0)):
        for take in (model.embed, club.iter_identify, lambda given: club.calibrate(strangers=given)):
            with pytest.raises(ConfigError, match="several"):
                take(one)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="Ann: one photo"):
            club.enroll({"Ann": one})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="a list of photos"):
        club.enroll({"Ann": str(crops / "ann.png")})
    with pytest.raises(ConfigError, match="a mapping of names to photos"):
        club.enroll([crops / "ann.png"])  # type: ignore[arg-type]


def test_a_photo_without_a_face_is_named(toy: Path, small_samples: Path) -> None:
    model = load(toy)  # with MTCNN
    blank, face = np.full((90, 90, 3), 128, np.uint8), next(small_samples.glob("strangers/*.jpg"))
    assert model.faces(blank) == []
    with pytest.raises(NoFaceError, match="photo 2: no face found"):
        model.embed([face, blank])


def test_no_gallery_is_made_among_photos(toy: Path, crops: Path) -> None:
    before = sorted(crops.rglob("*"))
    for folder in (crops, crops / "people", crops / "people" / "Ann Lee"):
        with pytest.raises(GalleryError, match=r"a folder of photos .*; give another folder as `gallery`"):
            Recogniser(folder, create=True, model=toy)
    assert sorted(crops.rglob("*")) == before


def test_a_gallery_that_is_not_there_is_refused(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="no gallery"):
        Recogniser(tmp_path / "nowhere", model=toy)


@pytest.mark.parametrize("path", ["", "a\0b", "\ud800", 7, None, b"people"])
def test_what_is_no_path_is_refused_in_one_line(path: str, club: Recogniser, toy: Path) -> None:
    with pytest.raises(ConfigError, match=r"gallery: .* is no path"):
        Recogniser(path, create=True, model=toy)
    with pytest.raises(ConfigError, match=r"people: (.* is no path|a folder, or a mapping)"):
        club.enroll(path)


@pytest.mark.parametrize("name", [7, None, b"Ann", ("Ann", "Lee")])
def test_a_name_that_is_no_text_fails_with_its_photos(name: str, club: Recogniser, crops: Path) -> None:
    (result,) = club.enroll({name: [crops / "ann.png"]}).failed
    assert "cannot be a person's name; give a text" in result.reason


WRONG: dict[str, tuple[Callable[[Recogniser], object], str]] = {
    "remove None": (lambda club: club.remove(None), "None cannot be a person's name; give a text"),  # type: ignore[arg-type]
    "remove 5": (lambda club: club.remove(5), "5 cannot be a person's name"),  # type: ignore[arg-type]
    "not same": (lambda club: club.not_same(toy_model.crop(0, 0), None), "None cannot be"),  # type: ignore[arg-type]
    "not same people": (lambda club: club.not_same_people("Ann Lee", 7), "7 cannot be"),  # type: ignore[arg-type]
    "fpir": (lambda club: club.calibrate(fpir="a"), "`fpir` must be a number between 0 and 1, .* not 'a'"),  # type: ignore[arg-type]
    "fpir too large": (lambda club: club.calibrate(fpir=2), "`fpir` must be a number between 0 and 1, .* not 2"),
    "no candidates": (lambda club: club.identify(toy_model.crop(0, 0), top=0), "`top` must be a whole number"),
    "top": (lambda club: club.iter_identify([], top="a"), "`top` must be a whole number of at least 1, not 'a'"),  # type: ignore[arg-type]
    "photos": (lambda club: club.identify(["a.jpg"]), "list is no photo; give several photos to iter_identify"),  # type: ignore[arg-type]
    "open file": (lambda club: club.identify(io.BytesIO()), "BytesIO is no photo; give .*.read.* gives them"),  # type: ignore[arg-type]
    "a file for several": (lambda club: club.iter_identify(io.BytesIO()), "one photo where several are expected"),  # type: ignore[arg-type]
    "no list": (lambda club: club.identify(iter("ab")), "str.*iterator is no photo; give several .* iter_identify"),  # type: ignore[arg-type]
    "several": (lambda club: club.iter_enroll({}, several="x"), "`several` must be main or refuse, not 'x'"),
    "face size": (lambda _: DetectorSettings(min_face_size=-5), "`min_face_size` must be a whole number of at least"),
    "no size": (lambda _: DetectorSettings(min_face_size="a"), "`min_face_size` must be a whole number, not 'a'"),  # type: ignore[arg-type]
    "confidence": (lambda _: DetectorSettings(min_confidence=7), "`min_confidence` must be from 0 to 1, not 7"),
    "epochs": (lambda _: TrainSettings(epochs="a"), "`epochs` must be a whole number, not 'a'"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", WRONG)
def test_an_argument_that_makes_no_sense_is_refused_at_once_and_named(case: str, club: Recogniser) -> None:
    call, words = WRONG[case]
    with pytest.raises(FacerecError, match=words) as caught:
        call(club)
    assert len(str(caught.value).splitlines()) == 1


def test_settings_may_be_numbers_of_numpys() -> None:
    made = DetectorSettings(min_face_size=np.int64(40), min_confidence=np.float32(0.5))  # type: ignore[arg-type]
    assert made == DetectorSettings(min_face_size=40, min_confidence=0.5)
    assert type(made.min_face_size) is int


def test_what_is_shown_at_a_prompt_is_one_short_line(club: Recogniser, model: FaceModel, tmp_path: Path) -> None:
    assert repr(model) == "FaceModel(toy)"
    assert repr(club) == f"Recogniser({tmp_path / 'club'}, 3 people, model toy)"
    (missing,) = club.iter_identify([tmp_path / "missing.jpg"])
    assert str(missing).startswith(f"{tmp_path / 'missing.jpg'}: no such file")
    club.close()
    assert repr(club) == f"Recogniser({tmp_path / 'club'}, closed, model toy)"


def test_a_rate_may_be_a_number_of_numpys(club: Recogniser) -> None:
    found = club.calibrate(np.float32(0.25), [toy_model.crop(person, 0) for person in range(50, 60)])  # type: ignore[arg-type]
    assert found is not None
    assert found.fpir == 0.25


def test_a_detector_that_detects_nothing_is_refused(toy: Path, crops: Path, tmp_path: Path) -> None:
    for detector in ("mtcnn", 7):
        with pytest.raises(ConfigError, match="detector: "):
            load(toy, detector=detector)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="detector: "):
            train(crops / "people", tmp_path / "run", detector=detector, init="random")  # type: ignore[arg-type]


@pytest.mark.parametrize("after", range(5))
def test_ctrl_c_in_the_middle_of_an_enrollment_leaves_searches_right(
    after: int, club: Recogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People in memory are four arrays that grow one after the other, and means made at the end."""
    append, calls = GrowingArray.append, iter(range(100))

    def interrupted(array: GrowingArray[np.generic], rows: np.ndarray) -> None:
        if next(calls) == after:
            raise KeyboardInterrupt
        append(array, rows)

    def interrupted_at_last(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(GrowingArray, "append", interrupted)
        patch.setattr(PeopleIndex, "_set_means", interrupted_at_last)
        with pytest.raises(KeyboardInterrupt):
            club.enroll({"Dan": [toy_model.crop(50, 0)]})
    assert club.enroll({"Eve": [toy_model.crop(51, 0)]}).added == 1
    found = [club.identify(toy_model.crop(person, 1))[0] for person in (0, 50, 51)]
    assert [face.person for face in found] == [toy_model.NAMES[0], "Dan", "Eve"]


def test_eight_threads_get_what_one_gets(club: Recogniser, crops: Path) -> None:
    """While each enrolls, looks up and removes somebody of their own, too."""
    photos = [toy_model.crop(person, photo) for person in range(4) for photo in range(3, 9)]
    alone = [[(face.person, face.distance) for face in club.identify(photo)] for photo in photos]
    start = threading.Barrier(8)

    def work(number: int) -> list[list[tuple[str | None, float | None]]]:
        start.wait()
        name, own = f"Guest {number}", toy_model.crop(100 + number, 0)
        assert club.enroll({name: [own]}).added == 1
        assert [face.person for face in club.identify(toy_model.crop(100 + number, 1))] == [name]
        found = [[(face.person, face.distance) for face in club.identify(photo)] for photo in photos[:18]]
        assert club.remove(name) == 1
        return found

    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(work, range(8)):
            assert found == alone[:18]
    assert [person.name for person in club.people()] == sorted(toy_model.NAMES)
    assert club.gallery.check().problems == ()
