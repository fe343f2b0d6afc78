"""StageFeatures: scikit-learn's own checks, and what they cannot know of pictures."""

import inspect
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import toy_classes
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks as checks

import facerec
from facerec.errors import ConfigError, ImageError, ModelError, NoFaceError
from facerec.features.transformer import StageFeatures
from facerec.inference.loading import load_stage
from facerec.models.checkpoint import describe, save_model
from facerec.models.network import Network
from facerec.photos.crops import aligned_crop, centre_picture
from facerec.photos.reading import read_image

pytestmark = pytest.mark.usefixtures("one_thread")

# scikit-learn feeds rows of any length: pictures that are one pixel high.
STRIPS: dict[str, Any] = {"layer": "stage1", "shape": (1, -1)}
# Those for output names and containers are not among the ones scikit-learn's generator runs.
MORE: tuple[Any, ...] = (
    checks.check_get_feature_names_out_error,
    checks.check_transformer_get_feature_names_out,
    checks.check_set_output_transform,
)


def all_checks() -> list[Any]:
    generated: Any = checks.estimator_checks_generator(StageFeatures(**STRIPS))
    own = [check for _, check in generated]
    return [*own, *(lambda estimator, check=check: check("StageFeatures", estimator) for check in MORE)]


def name_of(check: Any) -> str:
    if inspect.isfunction(check):
        return inspect.signature(check).parameters["check"].default.__name__
    return check.func.__name__ + "".join(f"-{key}" for key in check.keywords)


@pytest.fixture(scope="module")
def strips(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network for small pictures. Do not change."""
    folder = tmp_path_factory.mktemp("strips")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network("squeezenet1_1", 2, mode="classify", input_size=32)
    save_model(network, folder, describe(network, "strips", ("a", "b")))
    return str(folder)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network for small pictures whose maps are copies of the pixels, whole numbers: no sum is rounded.

    A machine may add up in another order in another batch; scikit-learn's checks then compare numbers near 0 to 1e-7.
    Do not change.
    """
    folder = tmp_path_factory.mktemp("exact")
    network = Network("squeezenet1_1", 2, mode="classify", input_size=32)
    with torch.no_grad():
        network.mean.zero_()
        network.std.fill_(1)
        for parameter in network.stages.parameters():
            parameter.zero_()
            if parameter.ndim > 1:  # a filter of a convolution looks at one of its inputs
                filters = parameter.flatten(1)
                filters[range(len(filters)), [i % filters.shape[1] for i in range(len(filters))]] = 1
    save_model(network, folder, describe(network, "exact", ("a", "b")))
    return str(folder)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A classifier of green, blue and red pictures. Do not change."""
    folder = tmp_path_factory.mktemp("colours")
    toy_classes.write_classifier(folder)
    return str(folder)


@pytest.mark.parametrize("check", all_checks(), ids=name_of)
def test_scikit_learns_check(check: Callable[[StageFeatures], None], exact: str) -> None:
    check(StageFeatures(exact, **STRIPS))


def test_rows_do_not_depend_on_their_batch(strips: str) -> None:
    rows = np.random.default_rng(0).uniform(0, 255, (70, 40))
    transformer = StageFeatures(strips, **STRIPS).fit(rows)
    one_by_one = np.concatenate([transformer.transform(rows[i : i + 1]) for i in range(70)])
    np.testing.assert_allclose(transformer.transform(rows), one_by_one, atol=1e-5)


# ------------------------------------------------------------------------------------------------------ what goes in


def test_paths_arrays_lists_and_rows_are_the_same_pictures(colours: str, tmp_path: Path) -> None:
    paths = [toy_classes.save_picture(tmp_path / f"{kind}.png", kind, 0) for kind in range(3)]
    pictures = np.stack([read_image(path) for path in paths])
    reader = load_stage(colours, "stage2")
    expected = reader.embed(np.stack([centre_picture(picture, 56) for picture in pictures]))
    transformer = StageFeatures(colours, "stage2")
    for X in (paths, [str(path) for path in paths], np.array(paths, object), pictures, list(pictures), pictures / 1.0):
        found = transformer.fit_transform(X)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.float32
    rows = StageFeatures(colours, "stage2", shape=(70, 90, 3)).fit_transform(pictures.reshape(3, -1))
    np.testing.assert_array_equal(rows, expected)
    unit = StageFeatures(colours, "stage2", shape=(70, 90, 3), white=1).fit_transform(pictures.reshape(3, -1) / 255)
    np.testing.assert_allclose(unit, expected, atol=1e-5)


def test_grey_rows_are_grey_pictures(colours: str) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (4, 20, 10)).astype(np.uint8)
    expected = StageFeatures(colours).fit_transform(grey[..., None].repeat(3, axis=3))
    found = StageFeatures(colours, shape=(20, 10)).fit_transform(grey.reshape(4, 200))
    np.testing.assert_array_equal(found, expected)


def test_a_face_models_pictures_are_aligned_crops_or_are_looked_at_for_faces(tiny_model: Path, crops: Path) -> None:
    paths = sorted((crops / "people" / "Ann Lee").iterdir())
    expected = load_stage(str(tiny_model)).embed(np.stack([aligned_crop(read_image(path)) for path in paths]))
    found = StageFeatures(str(tiny_model), aligned=True).fit_transform(paths)
    np.testing.assert_array_equal(found, expected)
    nobody = crops.parent / "grey.png"
    PIL.Image.new("RGB", (80, 80), "grey").save(nobody)
    with pytest.raises(NoFaceError, match=r"grey\.png: no face found"):
        StageFeatures(str(tiny_model)).fit([nobody]).transform([nobody])


def test_what_is_no_picture_is_named(colours: str, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    transformer = StageFeatures(colours).fit([tmp_path / "bad.png"])
    with pytest.raises(ImageError, match=r"bad\.png: not an image"):
        transformer.transform([tmp_path / "bad.png"])
    with pytest.raises(ImageError, match=r"picture 1: of shape \(4, 4, 2\)"):
        transformer.transform([np.zeros((4, 4, 3)), np.zeros((4, 4, 2))])
    with pytest.raises(ImageError, match="picture 0: holds numbers that are not finite"):
        transformer.transform(np.full((1, 4, 4, 3), np.nan))
    with pytest.raises(ConfigError, match="rows of 5 numbers: give shape="):
        transformer.transform(np.zeros((2, 5)))
    with pytest.raises(ConfigError, match=r"a row of 5 numbers does not fit shape \(2, 2\)"):
        StageFeatures(colours, shape=(2, 2)).fit(np.zeros((2, 5))).transform(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="dim 3"):
        transformer.transform(np.zeros((2, 5, 5)))


def test_one_path_alone_and_nothing_at_all_are_said_to_be_that(colours: str, tmp_path: Path) -> None:
    path = toy_classes.save_picture(tmp_path / "a.png", 0, 0)
    transformer = StageFeatures(colours).fit([path])
    for call in (transformer.fit, transformer.transform):
        for single in (path, str(path)):
            with pytest.raises(ConfigError, match=r"a\.png: one path; give a list of paths, even for a single one$"):
                call(single)
        for nothing in ([], (), np.array([], object), np.zeros((0, 4, 4, 3))):
            with pytest.raises(ValueError, match="no pictures: X is empty; give at least one path or picture"):
                call(nothing)
    with pytest.raises(ImageError, match=r"none\.png: no such file; check the name"):
        transformer.transform([path, tmp_path / "none.png"])


# ---------------------------------------------------------------------------------------------------- a pipeline's part


def test_a_pipeline_learns_from_paths(colours: str, tmp_path: Path) -> None:
    paths = [toy_classes.save_picture(tmp_path / f"{k}-{i}.png", k, i) for k in range(3) for i in range(4)]
    classes = np.repeat(toy_classes.NAMES, 4)
    pipeline = make_pipeline(StageFeatures(colours, "stage1"), StandardScaler(), KNeighborsClassifier(1))
    assert cross_val_score(pipeline, np.array(paths, object), classes, cv=4).tolist() == [1, 1, 1, 1]
    pipeline.fit(paths, classes)
    names = pipeline[:-2].get_feature_names_out()
    assert names is not None
    assert names[:2].tolist() == ["stage1_0", "stage1_1"]


def test_parts_of_it_weigh_nothing(colours: str) -> None:
    fitted = StageFeatures(colours).fit(np.zeros((1, 4, 4, 3), np.uint8))
    assert len(pickle.dumps(fitted)) < 2000
    copy: Any = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.transform(np.zeros((1, 4, 4, 3), np.uint8))


def test_it_is_facerecs_own_name() -> None:
    assert facerec.StageFeatures is StageFeatures


# ------------------------------------------------------------------------------------------------------------ its file


@pytest.mark.parametrize("fitted", [True, False])
def test_what_is_saved_is_loaded(colours: str, tmp_path: Path, fitted: bool) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (3, 75))
    transformer = StageFeatures(colours, "stage1", shape=(5, 5, 3), white=200)
    if fitted:
        transformer.fit(rows)
    transformer.save(tmp_path / "x.json")
    assert isinstance(json.loads((tmp_path / "x.json").read_text("utf-8")), dict), "text, nothing pickled"
    loaded = StageFeatures.load(tmp_path / "x.json")
    assert loaded.get_params() == transformer.get_params()
    if not fitted:
        with pytest.raises(NotFittedError):
            loaded.transform(rows)
        return
    np.testing.assert_array_equal(loaded.transform(rows), transformer.transform(rows))
    assert loaded.get_feature_names_out().tolist() == transformer.get_feature_names_out().tolist()
    with pytest.raises(ValueError, match="74 features"):
        loaded.transform(rows[:, :74])


def test_another_model_of_the_same_name_is_refused(colours: str, strips: str, tmp_path: Path) -> None:
    StageFeatures(colours).fit(np.zeros((1, 4, 4, 3))).save(tmp_path / "x.json")
    text = (tmp_path / "x.json").read_text("utf-8").replace(json.dumps(colours), json.dumps(strips))
    (tmp_path / "x.json").write_text(text, "utf-8")
    with pytest.raises(ModelError, match="is not the model it was when this was fitted"):
        StageFeatures.load(tmp_path / "x.json").transform(np.zeros((1, 4, 4, 3)))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 9}', '{"format": 1, "parameters": {"x": 1}, "fitted": {}}']
)
def test_other_files_are_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"x\.json: not what StageFeatures\.save wrote"):
        StageFeatures.load(tmp_path / "x.json")
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        StageFeatures.load(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="cannot be written"):
        StageFeatures().save(tmp_path / "none" / "x.json")


def test_a_file_may_be_named_by_text(colours: str, tmp_path: Path) -> None:
    StageFeatures(colours).save(str(tmp_path / "x.json"))
    assert StageFeatures.load(str(tmp_path / "x.json")).get_params() == StageFeatures(colours).get_params()
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        StageFeatures.load(str(tmp_path / "none.json"))
    with pytest.raises(ConfigError, match=r"cannot be written \(embedded null byte\)"):
        StageFeatures(colours).save("a\0.json")


# ------------------------------------------------------------------------------------------------------- its parameters


def test_numpys_numbers_and_text_and_paths_are_parameters_as_any(colours: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (3, 75))
    plain = StageFeatures(colours, "stage1", input_size=56, shape=(5, 5, 3), white=200)
    own = StageFeatures(
        np.str_(colours),
        np.str_("stage1"),
        input_size=np.int64(56),  # type: ignore[arg-type]
        shape=np.array([5, 5, 3]),  # type: ignore[arg-type]
        white=np.float32(200),  # type: ignore[arg-type]
    )
    expected = plain.fit_transform(rows)
    np.testing.assert_array_equal(own.fit_transform(rows), expected)
    np.testing.assert_array_equal(
        StageFeatures(Path(colours), "stage1", shape=(5, 5, 3), white=200).fit_transform(rows), expected
    )
    own.save(tmp_path / "x.json")
    loaded = StageFeatures.load(tmp_path / "x.json")
    assert loaded.get_params() == plain.get_params()
    np.testing.assert_array_equal(loaded.transform(rows), expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"input_size": -1}, "an input size of -1; give 1 to 2048 pixels, or 0"),
        ({"input_size": 10**12}, "an input size of 1000000000000; give 1 to 2048 pixels, or 0"),
        ({"input_size": 1}, "1 pixels are too few for stage3 of squeezenet1_1; give a larger"),
        ({"input_size": 56.0}, r"input_size is 56\.0; give a whole number of pixels, or 0"),
        ({"input_size": "56"}, "input_size is '56'; give a whole number of pixels, or 0"),
        ({"model": ["a"]}, r"model is \['a'\]; give a backbone's name, a model folder, or None"),
        ({"model": 5}, "model is 5; give a backbone's name, a model folder, or None"),
        ({"layer": 3}, "layer is 3; give a stage's name, or None"),
        ({"white": "255"}, "white is 255; give a number above 0"),
        ({"shape": 9}, r"shape is 9; give \(height, width\) or \(height, width, 3\), or None"),
        ({"shape": (3,)}, r"shape is \(3,\); give \(height, width\)"),
        ({"shape": (3, 1.5)}, r"shape is \(3, 1\.5\); give \(height, width\)"),
        ({"shape": "ab"}, r"shape is 'ab'; give \(height, width\)"),
    ],
)
@pytest.mark.usefixtures("random_weights")
def test_a_parameter_of_another_kind_is_named(wrong: dict[str, Any], message: str, tmp_path: Path) -> None:
    transformer = StageFeatures(**{"model": "squeezenet1_1", "shape": (3, 3), **wrong})
    with pytest.raises(ConfigError, match=message) as caught:
        transformer.fit(np.ones((2, 9)))
    assert "\n" not in str(caught.value)
    if "pixels" not in message or "whole" in message:  # what depends on the network is looked at when it is there
        with pytest.raises(ConfigError, match=message):
            transformer.save(tmp_path / "x.json")
        text = json.dumps({"format": 1, "parameters": transformer.get_params(), "fitted": {}})
        (tmp_path / "x.json").write_text(text, "utf-8")
        with pytest.raises(ConfigError, match=r"x\.json: not what StageFeatures\.save wrote"):
            StageFeatures.load(tmp_path / "x.json")


@pytest.mark.parametrize("white", [0, -1.0, float("inf"), float("nan")])
def test_white_is_a_number_above_0(colours: str, white: float) -> None:
    with pytest.raises(ConfigError, match=f"white is {white}; give a number above 0"):
        StageFeatures(colours, shape=(1, -1), white=white).fit(np.ones((2, 9)))
