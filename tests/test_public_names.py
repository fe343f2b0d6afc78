"""What `import facerec` gives: a few names, each with an example that runs, on the sample gallery."""

import doctest
import inspect
import re
from pathlib import Path

import pytest
from running import ROOT

import facerec

NAMES = {
    "DetectorSettings", "Enrollment", "EnrollmentSummary", "Face", "FaceModel", "FacerecError", "Identification",
    "NoFaceError", "Recogniser", "StageFeatures", "TrainSettings", "Verification", "load", "read_image",
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
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The block as it stands, with photos of the sample gallery under the names it uses."""
    (code,) = re.findall(r"```python\n(import facerec\n.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    recognising, training = code.split("facerec.train(")
    assert training.startswith('"people/", "models/new", strategy="partial")')  # runs in tests/training/test_fit.py
    obama = samples / "people" / "Barack Obama"
    for name, photo in {
        "people/Ann Lee/1.jpg": obama / "official_portrait_2012.jpg",
        "people/Bob Ray/1.jpg": samples / "people" / "Joe Biden" / "blue_room_2010.jpg",
        "party.jpg": samples / "held_back" / "barack_obama_blue_room_2010.jpg",
        "passport.jpg": obama / "official_portrait_2012.jpg",
        "selfie.jpg": obama / "address_to_congress_2009.jpg",
        "a.jpg": samples / "people" / "Grace Hopper" / "official_portrait_1984.jpg",
        "b.jpg": samples / "strangers" / "eileen_collins_astronaut.jpg",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(photo)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine").symlink_to(ROOT / "facerec" / "weights")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    exec(compile(recognising, "README.md", "exec"), scope)
    assert re.fullmatch(r"Ann Lee 0\.\d+ Ann Lee at 0\.\d+, within the threshold .*\n", capsys.readouterr().out)
    assert getattr(scope["vectors"], "shape", None) == (2, 128)
