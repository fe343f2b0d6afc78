"""Advice: the probe, the table, and the command, on pictures whose likeness to ImageNet one can choose."""

import json
import shlex
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import toy_classes
from click.testing import Result
from running import json_lines, run
from toy_faces import some_people

from facerec.cli.main import main
from facerec.datasets.photo_sets import PhotoSet, read_photos
from facerec.errors import DataError
from facerec.models.network import Network
from facerec.models.saliency import pooled_stages
from facerec.training import advise as room
from facerec.training.advise import FOLDS, Depth, advise, choose, command_for, conclude, probe

pytestmark = pytest.mark.usefixtures("one_thread")


def depths(*accuracies: float) -> list[Depth]:
    """Stages of these accuracies, each known to five points."""
    return [Depth(f"stage{i}", a, (max(a - 0.05, 0), min(a + 0.05, 1))) for i, a in enumerate(accuracies)]


def small_network(**options: object) -> Network:
    torch.manual_seed(0)
    return Network("squeezenet1_1", 2, **({"mode": "classify", "input_size": 48} | options)).eval()  # type: ignore[arg-type]


def photo_set(counts: list[int]) -> PhotoSet:
    labels = np.repeat(np.arange(len(counts)), counts)
    paths = tuple(Path("x", f"{label}", f"{i}") for i, label in enumerate(labels))
    return PhotoSet(Path("x"), tuple(str(i) for i in range(len(counts))), paths, labels)


# ------------------------------------------------------------------------------------------------- the probe


def test_the_probe_finds_what_a_line_can_tell_and_nothing_where_there_is_nothing() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 40)
    noise = rng.normal(size=(120, 30)).astype(np.float32)
    told = noise.copy()
    told[:, :3] += 8 * np.eye(3)[labels]
    assert probe("a", told, labels).accuracy > 0.97
    chance = probe("b", noise, labels)
    assert chance.ci95[0] < 1 / 3 < chance.ci95[1]
    assert probe("a", told * 1e6, labels) == probe("a", told, labels), "scales do not matter"


def test_the_probe_answers_each_photo_by_the_others_only() -> None:
    """As many features as photos: whoever is asked about what they learned from knows it all."""
    rng = np.random.default_rng(1)
    labels = np.tile([0, 1], 50)
    assert 0.3 < probe("a", rng.normal(size=(100, 500)).astype(np.float32), labels).accuracy < 0.7


def test_the_probes_choice_is_of_classes_with_enough_photos_and_within_its_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "PROBE_CLASSES", 3)
    monkeypatch.setattr(room, "PROBE_PHOTOS", 30)
    photos = photo_set([4, 100, 7, 1, 40, 30])
    chosen = choose(photos)
    counts = np.bincount(chosen.labels, minlength=6)
    assert (counts > 0).sum() == 3
    assert counts[0] == counts[3] == 0
    assert counts.max() == 10
    assert set(chosen.paths) <= set(photos.paths)
    assert len(set(chosen.paths)) == len(chosen)
    assert choose(photos).paths == chosen.paths


@pytest.mark.parametrize("counts", [[4, 4], [100, 4], [5]])
def test_too_few_photos_are_one_line(counts: list[int]) -> None:
    with pytest.raises(DataError, match="fewer than two folders with 5 photos; add photos, or folders"):
        choose(photo_set(counts))


def test_features_of_every_stage_are_means_over_places() -> None:
    network = small_network(input_size=64)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    rows = pooled_stages(network, pictures)
    assert list(rows) == [name for name, _ in network.named_stages()]
    x = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - network.mean) / network.std
    with torch.no_grad():
        for name, stage in network.named_stages():
            x = stage(x)
            expected = [[float(x[n, c].mean()) for c in range(x.shape[1])] for n in range(3)]
            np.testing.assert_allclose(rows[name], expected, rtol=1e-4, atol=1e-5)
    alexnet = Network("alexnet", 2, mode="classify", input_size=96).eval()
    assert pooled_stages(alexnet, np.zeros((2, 96, 96, 3), np.uint8))["fc"].shape == (2, 4096)


# ------------------------------------------------------------------------------------------------- the table


@pytest.mark.parametrize(
    ("photos", "accuracies", "strategy", "kept", "words"),
    [
        (999, (0.6, 0.7, 0.95), "frozen", 0, "little data, like ImageNet's: train the new head alone"),
        (1000, (0.6, 0.7, 0.95), "partial", 0, "much data, like ImageNet's: fine-tune the later stages"),
        (999, (0.6, 0.75, 0.62), "frozen", 2, "features up to stage1, which are the best here"),
        (999, (0.6, 0.65, 0.7), "frozen", 0, "as they are; no earlier stage is better"),
        (1000, (0.6, 0.75, 0.62), "full", 0, "much data, unlike ImageNet's: fine-tune the whole network"),
        (999, (0.5, 1.0, 0.9), "frozen", 0, "like"),  # 0.95 to 0.95: not told apart
        (999, (0.5, 1.0, 0.89), "frozen", 2, "unlike"),  # it is 0.78, too
    ],
)
def test_the_table(photos: int, accuracies: tuple[float, ...], strategy: str, kept: int, words: str) -> None:
    probed = np.repeat([0, 1], 100)
    advice = conclude(np.array([photos - 400, 400]), probed, depths(*accuracies))
    assert (advice.strategy, advice.kept_stages) == (strategy, kept)
    assert words in advice.reason
    assert advice.chance == 0.5
    assert advice.similarity == pytest.approx(2 * accuracies[-1] - 1)
    assert (advice.photos, advice.classes, advice.fewest, advice.most) == (photos, 2, 400, photos - 400)


def test_features_that_are_good_but_not_the_best_are_not_for_these_photos() -> None:
    advice = conclude(np.array([50, 50]), np.repeat([0, 1], 100), [*depths(0.6, 1.0), Depth("end", 0.92, (0.9, 0.94))])
    assert (advice.similarity, advice.earlier, advice.alike) == (pytest.approx(0.84), "stage1", False)


def test_chance_is_the_largest_class() -> None:
    advice = conclude(np.array([90, 10]), np.repeat([0, 1], [90, 10]), depths(0.9, 0.9))
    assert (advice.chance, advice.similarity, advice.alike) == (0.9, 0, False)


# ------------------------------------------------------------------------------------------------- photos


def colours(folder: Path, each: int) -> Path:
    for kind, name in enumerate(("ants", "a bee's")):
        for number in range(each):
            toy_classes.save_picture(folder / name / f"{number}.png", kind, number)
    return folder


def test_a_folder_is_looked_at_and_broken_photos_are_named(tmp_path: Path) -> None:
    folder = colours(tmp_path / "two", 8)
    (folder / "ants" / "broken.png").write_bytes(b"no picture")
    advice, failures = advise(read_photos(folder), small_network(), faces=False)
    assert len(failures) == 1
    assert failures[0].startswith(f"{folder / 'ants' / 'broken.png'}: not an image")
    assert (advice.photos, advice.classes, advice.probed_photos, advice.fewest, advice.most) == (17, 2, 16, 8, 9)
    assert [depth.stage for depth in advice.depths] == ["stage0", "stage1", "stage2", "stage3"]
    assert advice.depths[0].accuracy == 1, "green and blue are told apart by any filters"
    again, _ = advise(read_photos(folder), small_network(), faces=False)
    assert again == advice


def test_classes_that_broken_photos_leave_too_small_are_not_probed(tmp_path: Path) -> None:
    folder = colours(tmp_path / "two", FOLDS)
    (folder / "ants" / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="fewer than two folders with 5 photos that can be read"):
        advise(read_photos(folder), small_network(), faces=False)
    for number in range(FOLDS):
        toy_classes.save_picture(folder / "third" / f"{number}.png", 2, number)
    advice, failures = advise(read_photos(folder), small_network(), faces=False)
    assert (advice.probed_classes, advice.classes, len(failures)) == (2, 3, 1)


def test_people_are_looked_at_by_their_aligned_crops(tmp_path: Path) -> None:
    folder = some_people(tmp_path / "faces", 3, 5)
    network = small_network(mode="metric", input_size=112)
    advice, failures = advise(read_photos(folder), network, faces=True)
    assert (advice.classes, advice.probed_photos, failures) == (3, 15, [])
    assert command_for(advice, folder, network, faces=True).startswith(f"facerec train {folder} --aligned --backbone ")
    PIL.Image.new("RGB", (90, 70)).save(folder / read_photos(folder).names[0] / "wide.png")
    _, (line,) = advise(read_photos(folder), network, faces=True)
    assert line.endswith("90x70 is not an aligned crop: give square crops, or leave out `aligned`")


def test_the_command_it_names_can_be_run(tmp_path: Path) -> None:
    folder = tmp_path / "my $photos 'n all"
    folder.mkdir()
    for accuracies in ((0.6, 0.9, 0.62), (0.6, 0.7, 0.95)):
        advice = conclude(np.array([50, 50]), np.repeat([0, 1], 50), depths(*accuracies))
        for faces in (True, False):
            network = small_network(mode="metric" if faces else "classify", input_size=96)
            words = shlex.split(command_for(advice, folder, network, faces=faces))
            assert words[:3] == ["facerec", "train", str(folder)]
            command = main.get_command(None, "train")  # type: ignore[arg-type]
            assert command is not None
            context = command.make_context("train", words[2:])
            assert context.params["input_size"] == 96
            assert context.params["kept_stages"] == (advice.kept_stages or None)


# ------------------------------------------------------------------------------------------------- the command


def advised(folder: Path, *more: object, patch: pytest.MonkeyPatch) -> Result:
    """The command, with random weights instead of ImageNet's: the tests download nothing."""
    build = Network.__init__

    def fresh(self: Network, *words: object, **options: object) -> None:
        build(self, *words, **(options | {"pretrained": False}))  # type: ignore[arg-type]

    patch.setattr(Network, "__init__", fresh)
    torch.manual_seed(0)
    return run("advise", folder, "--backbone", "squeezenet1_1", "--input-size", 48, *more)


def test_the_command_for_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = colours(tmp_path / "two", 6)
    result = advised(folder, "--json", patch=monkeypatch)
    assert result.exit_code == 0, result.stderr
    (line,) = json_lines(result)
    assert (line["folder"], line["backbone"], line["photos"], line["classes"]) == (str(folder), "squeezenet1_1", 12, 2)
    assert [depth["stage"] for depth in line["depths"]] == ["stage0", "stage1", "stage2", "stage3"]
    assert line["strategy"] in line["command"]
    assert "NaN" not in json.dumps(line)


def test_the_command_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = colours(tmp_path / "two\nlines", 6)
    (folder / "ants" / "7.png").write_bytes(b"no picture")
    result = advised(folder, patch=monkeypatch)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    first, second, *_, reason, command = result.stdout.splitlines()
    assert first == rf"{tmp_path}/two\nlines: 13 photos in 2 folders, 6 to 7 in each; 1,000 or more are much"
    assert "12 photos of 2 folders, chance 50.0 %:" in second
    assert reason.endswith(":")
    assert command.startswith("  facerec train ")
    assert r"two\nlines" in command


def test_what_cannot_be_advised_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = colours(tmp_path / "few", 3)
    cases = [(few, (), "fewer than two folders with 5 photos"), (tmp_path / "none", (), "No such file or directory")]
    for folder, words, message in cases:
        result = advised(folder, *words, patch=monkeypatch)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert message in result.stderr
    result = run("advise", few, "--backbone", "resnet99")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "no backbone 'resnet99'" in result.stderr


@pytest.mark.usefixtures("random_weights")
def test_a_backbone_may_be_named_as_elsewhere_and_a_model_is_none(tmp_path: Path, tiny_model: Path) -> None:
    folder = some_people(tmp_path / "few", 2, FOLDS)
    (named,) = json_lines(run("advise", folder, "--model", "squeezenet1_1", "--input-size", 48, "--json"))
    assert named["backbone"] == "squeezenet1_1"
    for model in (tiny_model, "default"):
        result = run("advise", folder, "--model", model)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert (
            f"{model}: a trained model, but the advice is for a backbone with ImageNet weights; give a backbone's name"
            in result.stderr
        )
