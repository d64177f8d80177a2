"""A task is one file: dropped into a copy of the package, it trains, stops, resumes and is evaluated."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from runs import same_run

import carrousel
from carrousel import checkpoint
from carrousel.tasks import ALL

pytestmark = pytest.mark.slow

MAJORITY = '''
"""`carrousel train majority`: were there more ones than zeros?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from carrousel.tasks.network import NetworkOptions, new_layers
from carrousel.training.options import DATA, option
from carrousel.training.task import Data, Score, Task


@dataclass(frozen=True)
class MajorityOptions(NetworkOptions):
    """Its options."""

    hidden: int = option(8, "Units.", "Model", least=1, enlarges="weights")
    digits: int = option(9, "Digits in a sequence, an odd number.", DATA, least=1)


class Model(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.recurrent, self.output = new_layers(options, 1), nn.Linear(options.hidden, 1)

    def forward(self, x):
        return self.output(self.recurrent(x)[0][-1])[:, 0]


def sequences(digits, count, seed):
    x = torch.randint(2, (digits, count, 1), generator=torch.Generator().manual_seed(seed)).float()
    return x, (x.mean((0, 2)) > 0.5).float()


class Majority(Task):
    """The task."""

    name = "majority"
    summary = "Learn whether a sequence has more ones than zeros."
    unit = "sequences"
    loss_unit = "nats a sequence"
    options = MajorityOptions

    def data(self, options, device):
        x, y = sequences(options.digits, 100, 0)
        batch = lambda step: sequences(options.digits, options.batch, step + 1)
        return Data(batch, 1000, list(zip(x.unbind(1), y)), {"digits": options.digits}, str(options.digits))

    def model(self, options, facts):
        return Model(options)

    def loss(self, model, batch, state):
        x, y = batch
        return binary_cross_entropy_with_logits(model(x), y), ()

    @torch.no_grad()
    def measure(self, model, valid, sample=None):
        x, y = torch.stack([x for x, _ in valid], 1), torch.stack([y for _, y in valid])
        logits = model.eval()(x)
        model.train()
        loss = binary_cross_entropy_with_logits(logits, y).item()
        return Score(loss, len(valid), {"accuracy": ((logits > 0) == (y > 0)).double().mean().item()})

    def pictures(self, model, data):
        return {"digits.txt": str(data.facts["digits"]).encode()}


TASK = Majority()
'''
RUN = ["--steps", "200", "--batch", "16", "--layers", "1", "--lr", "0.05"]


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The command in the copy of the package: a function that starts a process."""
    folder = tmp_path_factory.mktemp("copy")
    package = Path(carrousel.__file__).parent
    shutil.copytree(package, folder / "carrousel", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "carrousel" / "tasks" / "majority.py").write_text(MAJORITY)
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}

    def start(*arguments) -> subprocess.Popen:
        words = [sys.executable, "-m", "carrousel", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(words, env=environment, cwd=folder, **pipes)

    return start


def finish(process: subprocess.Popen) -> str:
    """Its stdout; it must have succeeded."""
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stderr) == (0, "")
    return stdout


def test_a_task_is_listed_with_its_options(command):
    names = [each["name"] for each in json.loads(finish(command("train", "--list", "--json")))]
    assert names == sorted([*ALL, "majority"])
    described = finish(command("train", "majority", "--help"))
    assert "Learn whether a sequence has more ones than zeros." in described
    assert "--digits" in described
    assert "--letters" not in described


def test_a_task_trains_stops_and_resumes(command, tmp_path):
    """The stopped run, continued by the command that it printed, ends as the one that was never stopped."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    result = json.loads(finish(command("train", "majority", "--out", whole, *RUN, "--json")))
    assert (result["step"], result["sequences"]) == (200, 3200)
    assert result["valid"].keys() == {"loss", "accuracy", "sequences"}
    assert result["valid"]["accuracy"] > 0.7
    assert (whole / "digits.txt").read_text() == "9"
    process = command("train", "majority", "--out", stopped, *RUN, "--save-every", "0")
    while (
        not (stopped / "last.safetensors").exists() or checkpoint.read(stopped / "last.safetensors", "")[0]["step"] < 5
    ):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    again = re.fullmatch(r"stopped at step \d+, progress saved; continue with: (.*)\n", stderr)
    words = shlex.split(again[1])
    assert words[1:5] == ["-m", "carrousel", "train", "majority"]
    summary = finish(command(*words[3:]))
    assert re.search(r"validation  loss \d\.\d{4} nats a sequence  accuracy \d\.\d{4}  \(all 100 sequences, ", summary)
    assert same_run(whole, stopped)


def test_a_run_of_one_task_is_not_resumed_as_another(command, tmp_path):
    finish(command("train", "majority", "--out", tmp_path, *RUN))
    for arguments, says in (
        (["train", "text", "--out", tmp_path, "--resume"], "holds a run of `train majority`"),
        (["train", "majority", "--out", tmp_path, "--resume", "--digits", "5"], "--digits 5 does not fit"),
        (["sample", tmp_path], "models of the task majority write no text"),
        (["eval", tmp_path, "file"], "carrousel eval does not read files for the task majority"),
    ):
        process = command(*arguments)
        _, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr.count("\n")) == (2, 1), stderr
        assert says in stderr


def test_weights_that_are_no_longer_numbers_stop_a_task(command, tmp_path):
    diverging = ["--steps", "50", "--optimizer", "sgd", "--lr", "1e38", "--clip", "0", "--schedule", "constant"]
    process = command("train", "majority", "--out", tmp_path / "out", *diverging)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert re.fullmatch(r"carrousel: the .* became (nan|inf) at step \d+; lower --lr .* are saved in .*\n", stderr)
    tensors = checkpoint.read(tmp_path / "out" / "last.safetensors", "")[1]
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
