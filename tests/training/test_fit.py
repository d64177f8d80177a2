"""Checkpoints with a right checksum whose tensors or options are not those of this version: one line, no crash."""

from __future__ import annotations

import pytest
import torch
from runs import resume, train, write_text

from carrousel import checkpoint
from carrousel.errors import UserError
from carrousel.tasks import ALL
from carrousel.training.trained import load

pytestmark = pytest.mark.slow

SAYS = r"last.safetensors does not fit this version of its task: train the model again \({}\)"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 12 steps: its text, its facts and its tensors."""
    folder = tmp_path_factory.mktemp("run")
    text = write_text(folder)
    train(text, folder / "out")
    return checkpoint.read(folder / "out" / "last.safetensors", "")


def write(path, run, options=None, **changes):
    """A checkpoint like that of the run, with other tensors; None: without this one."""
    facts, tensors = dict(run[0]), {**run[1], **changes}
    facts["options"] = {**facts["options"], **(options or {})}
    path.parent.mkdir(exist_ok=True)
    checkpoint.write(path, facts, {name: tensor for name, tensor in tensors.items() if tensor is not None}, "")


@pytest.mark.parametrize(
    ("name", "change", "misfit"),
    [
        ("model.output.bias", lambda tensor: tensor.double(), r"model.output.bias is float64 .* instead of float32 .*"),
        ("model.output.bias", lambda tensor: tensor[:1], r"model.output.bias is float32 \[1\] instead of .*"),
        ("model.output.bias", lambda tensor: None, "model.output.bias is missing"),
        ("optimizer.0.exp_avg", lambda tensor: tensor[:1], r"optimizer.0.exp_avg is float32 .* instead of .*"),
        ("optimizer.0.exp_avg", lambda tensor: tensor.half(), r"optimizer.0.exp_avg is float16 .*"),
        ("optimizer.0.exp_avg", lambda tensor: None, "optimizer.0.exp_avg is missing"),
        ("optimizer.0.step", lambda tensor: tensor.expand(3), r"optimizer.0.step is float32 \[3\] instead of .*"),
        ("optimizer.99.step", lambda tensor: torch.ones(()), "optimizer.99.step is not part of it"),
        ("state.0", lambda tensor: tensor[0], r"state.0 is float32 .* instead of .*"),
        ("state.0", lambda tensor: None, "state.0 is missing"),
        ("random.cpu", lambda tensor: tensor[:, :9], r"random.cpu is uint8 \[1, 9\] instead of .*"),
        ("random.cpu", lambda tensor: tensor[0, 0], r"random.cpu is uint8 \[\] instead of .*"),
        ("random.cpu", lambda tensor: None, "random.cpu is missing"),
    ],
)
def test_other_tensors_are_refused(run, tmp_path, name, change, misfit):
    last = tmp_path / "out" / "last.safetensors"
    write(last, run, **{name: change(run[1].get(name))})
    before = last.read_bytes()
    with pytest.raises(UserError, match=SAYS.format(misfit)):
        resume(last.parent, steps=14)
    assert last.read_bytes() == before


def test_other_weights_are_refused_when_a_model_is_loaded(run, tmp_path):
    last = tmp_path / "last.safetensors"
    write(last, run, **{"model.output.bias": run[1]["model.output.bias"].half()})
    with pytest.raises(UserError, match=SAYS.format(r"output.bias is float16 .* instead of float32 .*")):
        load(last, ALL)


def test_weights_that_are_not_finite_are_refused_when_a_model_is_loaded(run, tmp_path):
    last = tmp_path / "last.safetensors"
    write(last, run, **{"model.output.bias": run[1]["model.output.bias"] * torch.nan})
    with pytest.raises(UserError, match=SAYS.format("output.bias is not finite")):
        load(last, ALL)


def test_options_of_another_version_are_refused(run, tmp_path):
    last = tmp_path / "out" / "last.safetensors"
    write(last, run, options={"warm_up": 3})
    for read in (lambda: load(last, ALL), lambda: resume(last.parent, steps=14)):
        with pytest.raises(UserError, match=r"the run has options of another version \(--warm-up\): train"):
            read()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_what_a_run_saved_fits(tmp_path, optimizer):
    text = write_text(tmp_path)
    train(text, tmp_path / "out", optimizer=optimizer)
    assert resume(tmp_path / "out", steps=14)["step"] == 14
