"""A training run: what it leaves, what ends it, every option, bad ends, resuming."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import struct
import sys

import pytest
import torch
from runs import SIZES, resume, sentences, train, write_text

from carrousel import checkpoint
from carrousel.cli import run
from carrousel.data.vocabulary import Corpus
from carrousel.errors import UserError
from carrousel.tasks import ALL
from carrousel.tasks.language_model.evaluate import evaluate
from carrousel.tasks.text import TASK, TextOptions
from carrousel.training.curve import Curve, Point
from carrousel.training.options import BUDGETS
from carrousel.training.run import train as train_task
from carrousel.training.trained import load as load_trained

pytestmark = pytest.mark.slow


def load(path):
    return load_trained(path, ALL)


@pytest.fixture
def text(tmp_path):
    return write_text(tmp_path)


def test_run_leaves_what_it_says(text, tmp_path):
    result = train(text, tmp_path / "out", steps=40)
    out = tmp_path / "out"
    assert sorted(file.name for file in out.iterdir()) == sorted(result["files"])
    assert (result["ended"], result["step"], result["characters"]) == ("finished", 40, 40 * 4 * 8)
    assert struct.unpack(">8s8xII", (out / "loss.png").read_bytes()[:24]) == (b"\x89PNG\r\n\x1a\n", 960, 600)
    report = json.loads((out / "run.json").read_text())
    assert report["result"] == {**result}
    assert report["options"]["steps"] == 40
    curve = Curve.from_json(report["curve"])
    assert len(curve.train) == 40
    assert curve.train[-1].loss == result["train"]["nats_per_char"]


def test_best_weights_are_those_of_the_lowest_validation_loss(text, tmp_path):
    """At this rate the loss goes up and down; the text is short enough for the sample to be all of it."""
    result = train(text, tmp_path / "out", lr=1.0, schedule="constant", steps=400)
    curve = Curve.from_json(json.loads((tmp_path / "out" / "run.json").read_text())["curve"])
    losses = [point.loss for point in curve.valid]
    assert losses[-1] > min(losses), "the best must not be the last here"
    assert result["best_step"] == curve.best.step == load(tmp_path / "out").step
    assert result["valid"]["nats_per_char"] == min(losses)
    codes = Corpus.split([sentences()], 0.1).valid
    assert evaluate(load(tmp_path / "out").model, codes).loss == min(losses)
    assert evaluate(load(tmp_path / "out" / "last.safetensors").model, codes).loss == losses[-1]


def test_run_without_validation(text, tmp_path):
    result = train(text, tmp_path / "out", valid_fraction=0.0)
    assert (result["valid"], result["best_step"]) == (None, None)
    assert not (tmp_path / "out" / "best.safetensors").exists()
    assert load(tmp_path / "out").step == SIZES["steps"]


def test_patience_ends_a_run(text, tmp_path):
    (tmp_path / "other.txt").write_text("zzzz yyyy xxxx" * 20)  # the more is learned, the worse
    result = train(text, tmp_path / "out", valid=str(tmp_path / "other.txt"), steps=2000, lr=0.05, patience=3)
    assert result["ended"] == "patience"
    assert result["step"] < 2000
    valid = json.loads((tmp_path / "out" / "run.json").read_text())["curve"]["valid"]
    assert result["best_step"] == valid[-4][0]


def test_minutes_end_a_run(text, tmp_path):
    result = train(text, tmp_path / "out", steps=None, minutes=1.5 / 60)
    assert 1.5 <= result["seconds"] < 2.5
    assert result["step"] > 10


def test_epochs_end_a_run(text, tmp_path):
    result = train(text, tmp_path / "out", steps=None, epochs=1.5)
    assert result["step"] == math.ceil(1.5 * 3600 / (4 * 8))


# Another value for every option, and what else it takes for the option to matter.
OTHER = {
    "encoding": ("latin-1", {}),
    "letters": (True, {}),
    "characters": (2000, {}),
    "valid_fraction": (0.3, {}),
    "cell": ("gru", {}),
    "hidden": (13, {}),
    "layers": (1, {}),
    "dropout": (0.5, {}),
    "length": (9, {}),
    "batch": (5, {}),
    "optimizer": ("adam", {"weight_decay": 0.5}),
    "lr": (0.01, {}),
    "weight_decay": (0.5, {}),
    "schedule": ("linear", {}),
    "clip": (0.01, {"optimizer": "sgd"}),
    "steps": (13, {}),
    "seed": (2, {}),
}
ELSEWHERE = {*BUDGETS, "files", "stdlib", "valid", "patience", "device", "save_every"}  # have tests of their own


def test_every_option_has_a_test():
    assert {*OTHER, *ELSEWHERE} == set(TextOptions.describe())


@pytest.mark.parametrize("name", OTHER)
def test_every_option_changes_the_weights(name, tmp_path):
    value, others = OTHER[name]
    text = tmp_path / "text.txt"
    text.write_text(sentences() + "\u00e9")
    outs = tmp_path / "one", tmp_path / "other"
    for out, options in zip(outs, (others, {**others, name: value}), strict=True):
        train(text, out, **options)
    one, other = (checkpoint.read(out / "last.safetensors", "")[1] for out in outs)
    names = [name for name in one if name.startswith("model.")]
    assert any(
        name not in other or one[name].shape != other[name].shape or not torch.equal(one[name], other[name])
        for name in names
    )


def test_same_seed_same_weights(text, tmp_path):
    train(text, tmp_path / "one")
    torch.rand(7)
    train(text, tmp_path / "other")
    one, other = (checkpoint.read(tmp_path / out / "last.safetensors", "")[1] for out in ("one", "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"files": ()}, "no text to train on"),
        ({"stdlib": True}, "--stdlib and files are both texts"),
        ({"cell": "ltsm"}, "--cell ltsm is not one of lstm, gru"),
        ({"optimizer": "lion"}, "--optimizer lion is not one of adamw"),
        ({"schedule": "step"}, "--schedule step is not one of cosine"),
        ({"steps": 5, "minutes": 1.0}, "--steps and --minutes both say when to end"),
        ({"minutes": 0.0}, "--minutes 0.0 is not allowed: it must be above 0"),
        ({"epochs": math.nan}, "--epochs nan is not allowed"),
        ({"epochs": 1e308}, r"--epochs 1e\+308 is not allowed: it must be above 0 and below 1e12"),
        ({"minutes": 1e308}, r"--minutes 1e\+308 is not allowed: it must be above 0 and below 1e12"),
        ({"steps": 10**400}, r"--steps 10+ is not allowed: it must be at least 1 and below 2\*\*63"),
        ({"lr": -1.0}, "--lr -1.0 is not allowed"),
        ({"lr": math.inf}, "--lr inf is not allowed"),
        ({"clip": -0.1}, "--clip -0.1 is not allowed: it must be at least 0"),
        ({"dropout": 1.0}, "--dropout 1.0 is not allowed: it must be at least 0 and below 1"),
        ({"valid_fraction": 1.0}, "--valid-fraction 1.0 is not allowed"),
        ({"save_every": -1.0}, "--save-every -1.0 is not allowed"),
        ({"seed": -1}, "--seed -1 is not allowed"),
        *[
            ({name: 0}, f"--{name} 0 is not allowed: it must be at least 1")
            for name in ("hidden", "layers", "length", "batch")
        ],
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(UserError, match=message):
        TextOptions(**{"files": ("a",), **options}).complete()


def test_options_survive_json():
    options = TextOptions(files=("a", "b"), minutes=1.5).complete()
    assert TextOptions.from_json(json.loads(json.dumps(options.to_json()))) == options
    assert dataclasses.replace(options, files=("c",)) != options


# ---- bad ends -------------------------------------------------------------------------------------------------------


def test_a_run_that_did_not_start_leaves_no_folder(text, tmp_path):
    with pytest.raises(UserError):
        train(tmp_path / "nothing.txt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hidden": 13}, "--hidden 13 does not fit: the run to resume has 12"),
        ({"files": ("{other}",)}, "was trained on other data"),
        ({"stdlib": True}, "--stdlib True does not fit"),
        ({"encoding": "latin-1"}, "--encoding latin-1 does not fit"),
    ],
)
def test_resume_refuses_what_would_be_another_run(text, tmp_path, given, message):
    train(text, tmp_path / "out")
    (tmp_path / "other.txt").write_text(sentences(seed=2))
    given = {name: (str(tmp_path / "other.txt"),) if name == "files" else value for name, value in given.items()}
    with pytest.raises(UserError, match=message):
        resume(tmp_path / "out", **given)


def test_resume_of_nothing(text, tmp_path):
    with pytest.raises(UserError, match="holds no checkpoint to resume"):
        resume(tmp_path / "out")
    assert resume(tmp_path / "out", files=(str(text),), **SIZES)["step"] == SIZES["steps"]


def test_curve_counts_since_its_best():
    curve = Curve(valid=[Point(step, step, 0.0, nats) for step, nats in enumerate([3.0, 2.0, 2.5, 2.0])])
    assert curve.best.step == 1
    assert curve.since_best == 2
    assert Curve().best is None
    assert Curve().since_best == 0


def test_a_run_goes_on_without_its_reader(text, tmp_path, monkeypatch):
    """stdout is a pipe that nobody reads any more."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    pipe = os.fdopen(write_end, "w")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", pipe)
        result = train_task(TASK, TextOptions(files=(str(text),), **{**SIZES, "steps": 200}), tmp_path / "out")
    with contextlib.suppress(BrokenPipeError):
        pipe.close()
    assert result["step"] == 200


def test_options_of_another_version_are_one_line(tmp_path, capsys):
    train(write_text(tmp_path), tmp_path / "out")
    for path in (tmp_path / "out" / name for name in ("best.safetensors", "last.safetensors")):
        facts, tensors = checkpoint.read(path, "")
        options = {**facts["options"], "extra_size": 1}
        del options["clip"]
        checkpoint.write(path, {**facts, "options": options}, tensors, "")
    for command in (["train", "text", "--resume", "--out"], ["sample"]):
        assert run([*command, str(tmp_path / "out")]) == 2
        message = "the run has options of another version (--clip, --extra-size): train the model again"
        assert capsys.readouterr().err == f"carrousel: {message}\n"
