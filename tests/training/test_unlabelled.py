"""Photos without labels beside those of people: only the teacher says what they show."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_model
from PIL import Image
from toy_faces import photo, write_teacher
from toy_runs import SMALL, Data, classes, make_people, read_run, run_of, small, write_lamp

from facerec.datasets.photo_sets import read_unlabelled
from facerec.errors import ConfigError, DataError
from facerec.faces.detector import AlignedDetector
from facerec.training.fit import align_photos
from facerec.training.learner import Learner
from facerec.training.plan import make_plan, plan_run
from facerec.training.state import State

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def loose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 10 crops of strangers, 2 of them in a folder below."""
    folder = tmp_path_factory.mktemp("anybody")
    (folder / "more").mkdir()
    for i in range(10):
        path = folder / ("more" if i > 7 else ".") / f"{i}.png"
        Image.fromarray(photo(100 + i, 0)).save(path, compress_level=1)
    return folder


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A teacher that is run."""
    return str(toy_model.write_model(tmp_path_factory.mktemp("teacher")))


def step(learner: Learner, positions: list[int]) -> dict[str, float]:
    """What a step on these photos reports, the network being in eval mode."""
    learner.network.eval()
    (given,) = learner.feed.train([np.array(positions)], 0)
    return learner.step(given, State(), 1)[0]


def test_every_batch_has_its_share_of_them(some_faces: Data, loose: Path, live: str) -> None:
    """8 people train, each with 4 photos: batches of 4 x 2 and, at a share of a third, 4 photos of anybody."""
    task = some_faces.task(small(unlabelled=str(loose), unlabelled_share=1 / 3, teacher=(live,)))
    assert (len(task.train), len(task.unlabelled)) == (32, 10)
    batches = task.batches(0)
    assert [(int((batch < 32).sum()), int((batch >= 32).sum())) for batch in batches] == [(8, 4)] * 4
    shown = np.concatenate(batches)
    assert np.bincount(shown[shown >= 32] - 32, minlength=10).tolist().count(2) == 6
    plain = some_faces.task(small(teacher=(live,))).batches(0)
    assert all(np.array_equal(batch[batch < 32], alone) for batch, alone in zip(batches, plain, strict=True))


def test_losses_on_labels_do_not_see_them_and_the_teacher_does(some_faces: Data, loose: Path, live: str) -> None:
    settings = small(loss="triplet + contrastive + arcface", teacher=(live,), unlabelled=str(loose), lr=1e-30)
    with_them, without = ([0, 32, 1, 4, 33, 5], [0, 1, 4, 5])
    facts, alone = (step(some_faces.learner(settings), positions) for positions in (with_them, without))
    for name in ("triplet_loss", "contrastive_loss", "arcface_loss", "spread", "active_triplets"):
        assert facts[name] == pytest.approx(alone[name], rel=1e-5), name
    assert facts["teacher_loss"] != pytest.approx(alone["teacher_loss"], rel=1e-3)

    learner = some_faces.learner(settings)
    learner.network.eval()
    (given,) = learner.feed.train([np.array(with_them)], 0)
    outputs = learner.network.output(learner.network.suffix(given.x, 0))
    rows = learner.teachers[0].rows(given.positions, given.pixels)
    assert facts["teacher_loss"] == pytest.approx(learner.teacher_losses[0](outputs, rows).item(), rel=1e-5)


def test_they_have_no_attribute(some_faces: Data, loose: Path, live: str, tmp_path: Path) -> None:
    lamp = str(write_lamp(tmp_path / "lamp.csv", some_faces))
    settings = small(teacher=(live,), unlabelled=str(loose), attribute=lamp, lr=1e-30)
    facts, alone = (step(some_faces.learner(settings), positions) for positions in ([0, 32, 1, 4, 33], [0, 1, 4]))
    for name in ("attribute_loss", "attribute_accuracy"):
        assert facts[name] == pytest.approx(alone[name], rel=1e-5)


def test_a_run_on_classes_takes_them_too(some_classes: Data, loose: Path, live: str) -> None:
    learner = some_classes.learner(classes(teacher=(live,), unlabelled=str(loose)))
    facts, alone = step(learner, [0, 12, 5, 13]), step(learner, [0, 5])
    assert facts["cross_entropy_loss"] != 0
    assert alone.keys() == facts.keys()


def test_stored_embeddings_will_do_if_they_hold_the_photos(some_faces: Data, loose: Path, tmp_path: Path) -> None:
    train = some_faces.task(SMALL).train
    path = write_teacher(tmp_path / "teacher.npz", train)
    settings = small(teacher=(str(path),), unlabelled=str(loose), strategy="partial", views=1)
    with pytest.raises(DataError, match=r"no embedding of anybody0/0.png and 9 more; let the teacher embed them"):
        some_faces.learner(settings)
    known = np.load(path)
    others = read_unlabelled(loose).keys()
    rows = np.concatenate([known["embeddings"], np.eye(10, known["embeddings"].shape[1], dtype=np.float16)])
    np.savez(path, names=np.array([*known["names"], *others]), embeddings=rows)
    learner = some_faces.learner(settings)
    torch.testing.assert_close(learner.teachers[0].rows(np.array([32, 41]), None), torch.eye(48)[[0, 9]])
    first, again = (list(learner.feed.train(learner.task.batches(0), 0)) for _ in range(2))
    for one, other in zip(first, again, strict=True):  # the second time from the store of frozen stages
        assert np.array_equal(one.positions, other.positions)
        torch.testing.assert_close(one.x, other.x)
    learner.feed.close()


def test_what_a_run_says_of_them(some_faces: Data, loose: Path, live: str, tmp_path: Path) -> None:
    settings = small(loss="none", batch_size=8, mix=0.5, teacher=(live,), unlabelled=str(loose), epochs=1)
    some_faces.train(tmp_path / "run", settings)
    told = read_run(tmp_path / "run")["train"]
    assert (told["photos"], told["people"]) == (32, 8)
    assert told["unlabelled"] == {
        "folder": loose.name,
        "photos": 10,
        "fingerprint": read_unlabelled(loose).fingerprint(),
    }


def test_without_a_teacher_they_are_refused(loose: Path) -> None:
    with pytest.raises(ConfigError, match="photos without labels need a `teacher`"):
        make_plan(small(unlabelled=str(loose)))


def test_an_empty_folder_is_refused_before_anything_is_read(live: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no photos; give another folder"):
        make_plan(small(unlabelled=str(tmp_path), teacher=(live,)))


def test_nobody_is_imitated_who_validates(some_faces: Data, loose: Path, live: str, tmp_path: Path) -> None:
    """A copy under another name is still that person."""
    shutil.copytree(loose, tmp_path / "loose")
    shutil.copy(some_faces.folder / "p001" / "002.png", tmp_path / "loose" / "copy.png")
    with pytest.raises(DataError, match=r"p001.*002.png: is among the training photos; validate on others"):
        some_faces.task(small(unlabelled=str(tmp_path / "loose"), teacher=(live,)))


def test_labelled_photos_must_be_readable_all_the_same(live: str, loose: Path, tmp_path: Path) -> None:
    data = make_people(tmp_path, 8, 2)
    learner = data.learner(small(people_per_batch=2, teacher=(live,), unlabelled=str(loose)))
    for path in learner.task.train.paths[:4]:
        path.write_bytes(b"not an image")
    with pytest.raises(DataError, match="fewer than two photos of a batch can be read"):
        step(learner, [0, 8, 1, 9, 2, 10, 3])


def test_raw_photos_without_labels_are_aligned_like_the_others(loose: Path, live: str, tmp_path: Path) -> None:
    data, settings = make_people(tmp_path, 8, 2), small(teacher=(live,), unlabelled=str(loose), epochs=1)
    plan = plan_run(tmp_path / "run", settings, splits=data.splits)
    folder, plan, failures = align_photos(data.folder, tmp_path / "run", plan, AlignedDetector(128))
    assert (folder, failures) == (tmp_path / "run" / "crops" / data.folder.name, [])
    assert plan.unlabelled.root == tmp_path / "run" / "unlabelled" / loose.name
    assert plan.unlabelled.within()[0] == "0.png.png"
    assert len(plan.unlabelled) == 10


def test_a_photo_shown_often_is_shown_in_other_views(live: str, loose: Path, tmp_path: Path) -> None:
    data = make_people(tmp_path, 8, 2)
    (tmp_path / "times.csv").write_text("person,times\np004,3\n", "utf-8")
    task = data.task(small(oversample=str(tmp_path / "times.csv"), loss="cross-entropy", batch_size=4))
    assert len(task.train) == 4 * 2 + 4
    copies = [i for i, path in enumerate(task.train.paths) if path == task.train.paths[0]]
    views = [task.views.train(task.train.paths[i], 0, i) for i in copies]
    assert len(copies) == 3
    assert views[0] is not None
    assert views[1] is not None
    assert not np.array_equal(views[0], views[1])
    run_of(data.folder, tmp_path / "run", small(oversample=str(tmp_path / "times.csv"), epochs=1), splits=data.splits)
    assert read_run(tmp_path / "run")["train"]["photos"] == 12
