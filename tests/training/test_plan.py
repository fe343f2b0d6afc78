"""The plan of a run: what it resolves, and every setting it refuses, before a photo is read or a weight loaded."""

import ast
import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_runs import SMALL, classes, small

import facerec.training
from facerec.errors import ConfigError, FacerecError, ModelError
from facerec.models.checkpoint import describe, save_model
from facerec.models.network import Network
from facerec.models.places import SHIPPED_MODEL
from facerec.training.plan import BatchShape, make_plan, plan_run
from facerec.training.settings import TrainSettings

# ------------------------------------------------------------------------------------------------- what is refused

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"mode": "guess"}, "no mode 'guess'; known are metric, classify"),
    ({"backbone": "vgg"}, "no backbone 'vgg'"),
    ({"strategy": "most"}, "no strategy 'most'"),
    ({"strategy": "partial", "frozen_stages": 4}, "between 1 and 3 stages"),
    ({"strategy": "partial", "kept_stages": 2, "frozen_stages": 2}, "between 1 and 1 stages"),
    ({"strategy": "scratch", "init": "models/mine"}, "scratch starts from random weights; leave `init` out"),
    ({"kept_stages": 5}, "squeezenet1_1 has 4 stages; keep between 1 and 4 of them, not 5"),
    ({"kept_stages": -1}, "`kept_stages` must be at least 0"),
    ({"head_layers": 0}, "`head_layers` must be at least 1"),
    ({"unfreeze_epochs": 0}, "`unfreeze_epochs` must be at least 1"),
    ({"loss": "hinge"}, "no loss 'hinge'; known are triplet, contrastive"),
    ({"loss": "triplet + x*arcface"}, "no loss 'x.arcface'"),
    ({"loss": "triplet + triplet"}, "no loss 'triplet'"),
    ({"mode": "classify", "loss": "triplet"}, "no loss 'triplet'; known are cross-entropy"),
    ({"mining": "easy"}, "no mining 'easy'"),
    ({"memory": 4}, "`memory` must hold a whole batch"),
    ({"memory": 64, "loss": "arcface"}, "`memory` is for losses that compare photos"),
    ({"memory": -1}, "`memory` must be at least 0"),
    ({"optimizer": "lion"}, "no optimizer 'lion'; known are adam, adamw, sgd, adagrad"),
    ({"schedule": "linear"}, "no schedule 'linear'; known are step, cosine, plateau"),
    ({"precision": "fp64"}, "no precision 'fp64'"),
    ({"loss": "none"}, "nothing to learn from; give `loss=triplet`, or `teacher=FILE.npz`"),
    ({"loss": "none", "mode": "classify"}, "nothing to learn from; give `loss=cross-entropy`, or `teacher=FILE.npz`"),
    ({"teacher_loss": "cosine + hints"}, "no teacher loss 'hints'; known are cosine, mse, relational"),
    ({"people_per_batch": 0}, "`people_per_batch` must be at least 2, not 0"),
    ({"people_per_batch": 1}, "`people_per_batch` must be at least 2, not 1"),
    ({"photos_per_person": 1}, "`photos_per_person` must be at least 2, not 1"),
    ({"batch_size": 1}, "`batch_size` must be at least 2, not 1"),
    ({"epoch_batches": -1}, "`epoch_batches` must be at least 0"),
    ({"epochs": 0}, "`epochs` must be at least 1"),
    ({"early_stopping": -1}, "`early_stopping` must be at least 0"),
    ({"step_epochs": 0}, "`step_epochs` must be at least 1"),
    ({"accumulate": 0}, "`accumulate` must be at least 1"),
    ({"views": -1}, "`views` must be at least 0"),
    ({"embedding_dim": 0}, "`embedding_dim` must be at least 1"),
    ({"embedding_dim": 2 * 10**9}, "`embedding_dim` must be at most 65536"),
    ({"margin": math.nan}, "`margin` must be 0"),
    ({"train_size": 16}, "`train_size` must be 0 or at least 32"),
    ({"input_size": 31}, "`input_size` must be 0 or at least 32"),
    ({"seed": -1}, "`seed` must be at least 0"),
    ({"lr": -1e-3}, "`lr` must be a number above 0, not -0.001"),
    ({"head_lr": math.inf}, "`head_lr` must be a number above 0, not inf"),
    ({"checkpoint_minutes": -1.0}, "`checkpoint_minutes` must be a number from 0"),
    ({"weight_decay": -1.0}, "`weight_decay` must be a number from 0, not -1.0"),
    ({"clip_norm": math.nan}, "`clip_norm` must be a number from 0, not nan"),
    ({"cache_gb": -1.0}, "`cache_gb` must be a number from 0"),
    ({"teacher_weight": math.nan}, "`teacher_weight` must be a number from 0, not nan"),
    ({"stage_decay": 0.0}, "`stage_decay` must be above 0 and at most 1"),
    ({"warmup": 1.0}, "`warmup` must be from 0 to below 1"),
    ({"ema": 1.0}, "`ema` must be from 0 to below 1"),
    ({"label_smoothing": -0.1}, "`label_smoothing` must be from 0 to below 1"),
    ({"limit_people": 0}, "`limit_people` must be at least 2, not 0"),
    ({"seed": 2**63}, "`seed` must be below 2"),
    ({"views": 1001}, "`views` must be at most 1000"),
    ({"memory": 10**7}, "`memory` must be at most 1000000"),
    ({"head_layers": 17}, "`head_layers` must be at most 16"),
    ({"cache_gb": 1e300}, "`cache_gb` must be at most 1000000"),
    ({"train_size": 4096}, "`train_size` must be at most 2048"),
    ({"mode": "classify", "cache_on_device": True}, "`cache_on_device` is for aligned faces"),
    ({"unlabelled_share": 1.0}, "`unlabelled_share` must be above 0 and below 1, not 1.0"),
    ({"unlabelled": "anybody"}, "photos without labels need a `teacher` to say what they show"),
    ({"mix": 1.5}, "`mix` must be from 0 to 1, not 1.5"),
    ({"mix": 0.5}, "a mixed crop shows nobody; `mix` needs `loss=none`"),
    ({"mix": 0.5, "loss": "none", "teacher": ("stored.npz",)}, "a mixed crop shows nobody; `mix` needs `loss=none`"),
    ({"pooling": "max"}, "no pooling 'max'; known are mean, flat, flat-linear"),
    ({"pooling": "flat"}, "flat pooling needs pixels of one size; leave `train_size` out"),
    ({"pooling": "flat-linear"}, "flat-linear pooling needs pixels of one size; leave `train_size` out"),
    ({"validation_fmr": 0.0}, "`validation_fmr` must be above 0 and below 1, not 0.0"),
    ({"data_seed": -1}, "`data_seed` must be at least 0, not -1"),
    ({"minutes": -1.0}, "`minutes` must be a number from 0, not -1.0"),
    ({"picture_views": "cut"}, "`picture_views` is for `mode=classify`"),
    ({"mining": "semihard", "margin": 0.0}, "semihard mining needs a `margin` above 0"),
    ({"margin": -0.1}, "`margin` must be 0 .soft. or a number above 0, not -0.1"),
    ({"loss": "0*triplet"}, "loss '0.triplet': the weight must be above 0"),
    ({"teacher_loss": "-1*cosine"}, "teacher loss '-1.cosine': the weight must be above 0"),
    ({"attribute_weight": 0.0}, "`attribute_weight` must be a number above 0, not 0.0"),
    (
        {"loss": "none", "mix": 0.5, "attribute": "lamp.csv", "teacher": ("any.onnx",)},
        "shows nobody and has no attribute; leave `mix`",
    ),
    ({"strategy": "partial", "kept_stages": 1}, "partial needs two stages or more"),
    ({"drop_blocks": "layer1.0"}, "squeezenet1_1 has no residual blocks to drop"),
    ({"backbone": "resnet18", "drop_blocks": "layer9.0"}, "no residual block 'layer9.0' in this resnet18"),
    ({"backbone": "inception_v3", "train_size": 74}, "74 pixels are too few for inception_v3"),
    ({"backbone": "alexnet", "input_size": 62}, "32 pixels are too few for alexnet"),
    ({"backbone": "alexnet", "train_size": 64, "input_size": 32}, "32 pixels are too few for alexnet"),
    ({"backbone": "vgg11", "pooling": "flat", "train_size": 0}, "ends in fully connected layers: there is no map"),
    ({"input_size": 128}, "`input_size=128` is the size of stored crops, which have a margin; give another"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_a_bad_setting_is_refused_by_the_plan_alone(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make_plan(small(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": ("none.npz",)}, "none.npz: no such file; give a teacher's .npz, a FILE.onnx or a model folder"),
        ({"teacher": ("none.onnx",)}, "none.onnx: no such model; give a model folder, a FILE.onnx with its card"),
        ({"init": "no/model"}, "no/model/model.json: no such file"),
        ({"precision": "fp16"}, "no precision 'fp16'"),
        ({"oversample": "no.csv"}, "no.csv: cannot be read (No such file or directory)"),
    ],
)
def test_what_is_missing_is_said_before_photos_are_aligned(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FacerecError, match=re.escape(message)):
        make_plan(small(**changes))


def test_batches_of_single_photos_suffice_a_teacher(tmp_path: Path) -> None:
    np.savez(tmp_path / "any.npz", names=np.array(["a"]), embeddings=np.ones((1, 4), np.float32))
    plan = make_plan(small(loss="none", photos_per_person=1, teacher=(str(tmp_path / "any.npz"),)))
    assert [(teacher.stored, teacher.dim) for teacher in plan.teachers] == [(True, 4)]


def test_data_of_the_other_mode_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`splits` is for `mode=metric`; .* give `validation`"):
        plan_run(tmp_path / "run", classes(), splits=tmp_path)
    with pytest.raises(ConfigError, match=r"`validation` is for `mode=classify`; .* give `splits`"):
        plan_run(tmp_path / "run", SMALL, validation=tmp_path)
    assert plan_run(tmp_path / "run", SMALL, splits=tmp_path).splits == tmp_path


def test_a_teacher_that_classifies_has_nothing_to_teach(tmp_path: Path) -> None:
    network = Network("squeezenet1_1", 2, mode="classify", input_size=32)
    save_model(network, tmp_path / "kinds", describe(network, "kinds", ("a", "b")))
    with pytest.raises(ModelError, match="classifies pictures and embeds no faces"):
        make_plan(small(teacher=(str(tmp_path / "kinds"),)))


# ------------------------------------------------------------------------------------------------- what is resolved


def test_a_plan_needs_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no pre-trained weights are, none are missed, and none are downloaded."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    plan = make_plan(TrainSettings(backbone="vgg19"))
    assert plan.pretrained
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_open_is_resolved() -> None:
    plan = make_plan(TrainSettings())
    assert (plan.start, plan.pretrained, plan.input_size, plan.train_size) == (None, True, 112, 112)
    assert (plan.loss.terms, plan.teacher_terms) == ({"triplet": 1}, {"cosine": 1, "relational": 10})
    assert (plan.freezing.stages, plan.freezing.cut) == (("stem", "layer1", "layer2", "layer3", "layer4"), 2)
    assert plan.batch == BatchShape(16, 4, may_shrink=True)
    assert make_plan(classes(input_size=0)).input_size == 224
    assert make_plan(classes(batch_size=9)).batch == BatchShape(None, 9)
    assert make_plan(small(people_per_batch=5)).batch == BatchShape(5, 2)
    assert [make_plan(small(precision=name)).bf16 for name in ("fp32", "bf16")] == [False, True]
    dropped = make_plan(small(backbone="resnet18", drop_blocks="layer4.1, layer2.0,")).dropped_blocks
    assert dropped == ("layer2.0", "layer4.1")
    assert not make_plan(TrainSettings(strategy="scratch")).pretrained


def test_what_nobody_chose_takes_the_form_of_the_start_model() -> None:
    plan = make_plan(TrainSettings(init="default", lr=1.0, seed=3), chosen={"lr"})
    assert plan.start is not None
    card = plan.start.card
    assert plan.start.folder == SHIPPED_MODEL
    form = (plan.settings.backbone, plan.settings.embedding_dim, plan.settings.pooling, plan.settings.input_size)
    assert form == (card.backbone, card.embedding_dim, card.pooling, card.input_size)
    assert (plan.settings.lr, plan.settings.seed, plan.pretrained) == (1.0, 3, False)
    with pytest.raises(ConfigError, match="weights: holds 4 stages of a resnet50"):
        make_plan(TrainSettings(init="default", backbone="resnet18"), chosen={"backbone"})


def test_a_run_that_goes_on_does_not_look_for_the_model_it_started_from() -> None:
    plan = make_plan(small(init="gone"), goes_on=True)
    assert (plan.start, plan.pretrained, plan.settings.init) == (None, False, "gone")


def test_a_plan_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_plan(SMALL).bf16 = True  # type: ignore[misc]


def test_only_what_makes_the_plan_knows_the_settings() -> None:
    """And the record of a run, which holds them."""
    folder = Path(facerec.training.__path__[0])
    knowing = {path.stem for path in folder.glob("*.py") if "facerec.training.settings" in imported(path)}
    assert knowing == {"checks", "fit", "plan", "start", "run_folder"}


def imported(path: Path) -> set[str | None]:
    return {node.module for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)}
