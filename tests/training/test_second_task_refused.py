"""An attribute that cannot be learned beside people: one line, before anything is made of it."""

from pathlib import Path
from typing import Any

import pytest
import toy_model
from toy_lamp import both, lamp
from toy_runs import SMALL, Data, lamp_of, run_of, small

from facerec.datasets.attributes import read_attribute
from facerec.errors import ConfigError, DataError, FacerecError
from facerec.training.plan import make_plan
from facerec.training.settings import TrainSettings
from facerec.training.tasks import find_second

pytestmark = pytest.mark.usefixtures("one_thread")


def refused(match: str, kind: type[FacerecError], data: Data, output: Path, settings: TrainSettings) -> None:
    with pytest.raises(kind, match=match) as caught:
        run_of(data.folder, output, settings, splits=data.splits)
    assert "\n" not in str(caught.value)
    assert not output.exists()


def test_values_that_cannot_be_learned_or_judged_are_one_line(lit_faces: Data, tmp_path: Path) -> None:
    path = tmp_path / "person.csv"
    settings, output = small(attribute=str(path)), tmp_path / "run"
    people = [f"p{i:03}" for i in range(12)]

    def values(**own: str) -> None:
        path.write_text("\n".join(["person,hat", *(f"{p},{own.get(p, 'no')}" for p in people)]), "utf-8")

    values()
    refused("hat is no for all training photos; two values are needed", DataError, lit_faces, output, settings)
    values(p001="yes", p005="no", p006="cap")
    message = "hat is yes for validation photos only; add such photos to train on"
    refused(message, DataError, lit_faces, output, settings)
    path.write_text("person,hat\np004,yes\np005,no\n", "utf-8")
    message = "has no line for 10 people that are used, the first p000; add a line for each, or leave them out"
    refused(message, DataError, lit_faces, output, settings)
    path.write_text("who,hat\np004,yes\n", "utf-8")
    refused("line 1: the columns are 'who,hat'; write 'photo,NAME'", DataError, lit_faces, output, settings)


def test_what_is_wrong_with_the_file_is_said_before_photos_are_aligned(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: cannot be read"):
        make_plan(small(attribute=str(tmp_path / "none.csv")))


def test_faces_of_nobody_have_no_attribute(lit_faces: Data, tmp_path: Path) -> None:
    settings = both(lit_faces, loss="none", mix=0.5, teacher=(str(toy_model.write_model(tmp_path)),))
    refused("leave `mix` or `attribute` out", ConfigError, lit_faces, tmp_path / "run", settings)


def test_a_weight_of_nothing_and_an_attribute_alone_are_refused(lit_faces: Data, tmp_path: Path) -> None:
    settings = both(lit_faces, attribute_weight=0.0)
    message = "`attribute_weight` must be a number above 0, not 0.0"
    refused(message, ConfigError, lit_faces, tmp_path / "run", settings)
    refused(
        "nothing to learn from; give `loss=triplet`",
        ConfigError,
        lit_faces,
        tmp_path / "run",
        both(lit_faces, loss="none"),
    )


def test_labels_stand_in_the_order_of_the_photos(lit_faces: Data) -> None:
    task = lit_faces.task(SMALL)
    second = find_second(read_attribute(Path(lamp(lit_faces))), task.train, task.validation)
    for photos, labels in ((task.train, second.train), (task.validation, second.validation)):
        assert [second.classes[label] for label in labels] == [lamp_of(path) for path in photos.paths]


def test_other_endings_are_said_once_for_both_sets(lit_faces: Data, tmp_path: Path, caplog: Any) -> None:
    task = lit_faces.task(SMALL)
    (tmp_path / "lamp.csv").write_text(Path(lamp(lit_faces)).read_text("utf-8").replace(".png,", ".webp,"), "utf-8")
    find_second(read_attribute(tmp_path / "lamp.csv"), task.train, task.validation)
    (said,) = caplog.messages
    assert f"{len(task.train) + len(task.validation)} photos taken under another ending" in said
