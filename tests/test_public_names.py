"""What `import facerec` gives: a few names, each with an example that runs, on the sample gallery."""

import doctest
import inspect
import re
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from running import ROOT

import facerec

NAMES = {
    "DetectorSettings", "Enrollment", "EnrollmentSummary", "Face", "FaceModel", "FacerecError", "Identification",
    "NoFaceError", "Recogniser", "StageFeatures", "TrainSettings", "Verification", "load", "read_image", "train",
}  # fmt: skip


def test_the_public_names_are_these() -> None:
    """A new one is a promise to every user: think before you add it here. At most 15."""
    assert set(facerec.__all__) == NAMES
    assert len(NAMES) <= 15
    assert dir(facerec) == facerec.__all__


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_public_name_has_an_example_that_runs(
    name: str, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, random_weights: None
) -> None:
    """In an empty folder beside the sample gallery, as a user would type it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gallery").symlink_to(samples)
    text = inspect.getdoc(getattr(facerec, name)) or ""
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    assert example.examples, "no example"
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert not result.failed, "".join(said)


def test_the_example_of_the_readme_runs(
    small_samples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    random_weights: None,
) -> None:
    """The block as it stands, with photos of the sample gallery under the names it uses.

    Only the training is made short: one epoch of a small backbone, whose weights are random.
    """
    (code,) = re.findall(r"```python\n(import facerec\n.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    lay_out(small_samples, tmp_path)
    monkeypatch.chdir(tmp_path)
    short = {"backbone": "squeezenet1_1", "embedding_dim": 32, "epochs": 1, "people_per_batch": 2}
    monkeypatch.setattr(facerec, "train", partial(facerec.train, **short), raising=False)
    scope: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), scope)
    assert re.fullmatch(r"Ann Lee 0\.\d+ Ann Lee at 0\.\d+, within the threshold .*\n", capsys.readouterr().out)
    vectors = scope["vectors"]
    assert isinstance(vectors, np.ndarray)
    assert (vectors.shape, vectors.dtype) == ((2, 32), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def lay_out(samples: Path, folder: Path) -> None:
    """Photos under the names of the README's example; each person has four, three of them made of others."""
    people = {"Ann Lee": "people/Barack Obama", "Bob Ray": "people/Joe Biden", "Cy Dee": "people/Grace Hopper"}
    people["Eve Fox"] = "strangers"
    for name, source in people.items():
        (folder / "people" / name).mkdir(parents=True)
        photo = PIL.Image.open(sorted((samples / source).glob("*.jpg"))[-1])
        for number, angle in enumerate((0, 3, -3, 6)):
            photo.rotate(angle).save(folder / "people" / name / f"{number}.jpg")
    for name, source in {
        "party.jpg": "held_back/barack_obama_blue_room_2010.jpg",
        "passport.jpg": "people/Barack Obama/official_portrait_2012.jpg",
        "selfie.jpg": "people/Barack Obama/address_to_congress_2009.jpg",
        "a.jpg": "people/Grace Hopper/official_portrait_1984.jpg",
        "b.jpg": "strangers/eileen_collins_astronaut.jpg",
    }.items():
        (folder / name).symlink_to(samples / source)


def test_the_module_holds_no_other_name_that_looks_public() -> None:
    """Editors read the file instead of asking `dir`. Packages are there once they are imported."""
    held = {name for name, value in vars(facerec).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert held <= NAMES
    assert not {"importlib", "typing", "TYPE_CHECKING", "Any"} & vars(facerec).keys()
