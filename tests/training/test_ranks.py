"""A run in several processes: what one process would have trained, saved and resumed by any number of them."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from every_task import TASKS, words
from runs import ENVIRONMENT, PROGRAM, carrousel_done, step_of

from carrousel import checkpoint
from carrousel.training.ranks import Ranks

pytestmark = pytest.mark.slow

NEAR = 2e-5  # how far weights and losses are from those of one process: sums in another order, twelve steps


def start(count: int, *arguments: object) -> list[subprocess.Popen]:
    """So many processes of one run, on the loopback address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            env={**ENVIRONMENT, **where, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def finish(processes: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each process."""
    return [(each.returncode, *streams) for each in processes for streams in [each.communicate(timeout=120)]]


def arguments(name: str, file: Path, out: Path, **options: object) -> list[object]:
    """A command line without random numbers."""
    values = {**TASKS[name].options, **TASKS[name].certain, **options}
    return ["train", name, file, "--out", out, *words(values)]


def tensors(out: Path) -> dict[str, torch.Tensor]:
    found = checkpoint.read(out / "last.safetensors", "")[1]
    return {key: value for key, value in found.items() if not key.startswith("random")}


def points(out: Path) -> list[float]:
    curve = json.loads((out / "run.json").read_text())["curve"]
    return [point[3] for point in [*curve["train"], *curve["valid"]]]


@pytest.fixture(scope="module", params=TASKS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def file(name, tmp_path_factory):
    return TASKS[name].write(tmp_path_factory.mktemp(name), 1)


@pytest.fixture(scope="module")
def one(name, file):
    """A run in one process."""
    code, _, stderr = carrousel_done(*arguments(name, file, file.parent / "one"))
    assert (code, stderr) == (0, "")
    return file.parent / "one"


def test_two_train_what_one_trains(name, file, one, tmp_path):
    """Losses, weights, optimizer and carried state; only the first process prints and writes."""
    out = tmp_path / "two"
    first, second = finish(start(2, *arguments(name, file, out)))
    assert first[0] == second[0] == 0
    assert first[2] == second[2] == second[1] == ""
    assert "12 steps" in first[1]
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in one.iterdir())
    expected, found = tensors(one), tensors(out)
    assert {key: value.shape for key, value in expected.items()} == {key: value.shape for key, value in found.items()}
    assert all((found[key].double() - expected[key].double()).abs().max() <= NEAR for key in expected)
    assert points(out) == pytest.approx(points(one), abs=NEAR)


@pytest.mark.parametrize("name", ["text", "classify"])
def test_a_run_is_resumed_by_any_number(name, tmp_path):
    """Two begin, one goes on, three end; with a carried state and without."""
    file, out = TASKS[name].write(tmp_path, 1), tmp_path / "out"
    assert finish(start(2, *arguments(name, file, out, steps=5, schedule="constant")))[0][0] == 0
    carrousel_done("train", name, "--out", out, "--resume", "--steps", 8)
    assert step_of(out) == 8
    assert [each[0] for each in finish(start(3, "train", name, "--out", out, "--resume", "--steps", 12))] == [0] * 3
    whole = tmp_path / "whole"
    carrousel_done(*arguments(name, file, whole, schedule="constant"))
    expected, found = tensors(whole), tensors(out)
    assert all((found[key].double() - expected[key].double()).abs().max() <= NEAR for key in expected)


@pytest.mark.parametrize("name", ["text", "classify"])
def test_the_same_number_resumes_bit_for_bit(name, tmp_path):
    """With random numbers: each process has its own generator back."""
    file = TASKS[name].write(tmp_path, 1)
    values = {**TASKS[name].options, **TASKS[name].random, "schedule": "constant"}
    outs = tmp_path / "whole", tmp_path / "out"
    for out, steps in zip(outs, (9, 4), strict=True):
        command = ["train", name, file, "--out", out, *words({**values, "steps": steps})]
        assert [each[0] for each in finish(start(2, *command))] == [0, 0]
    assert [each[0] for each in finish(start(2, "train", name, "--out", outs[1], "--resume", "--steps", 9))] == [0, 0]
    whole, again = (checkpoint.read(out / "last.safetensors", "")[1] for out in outs)
    assert whole["random.cpu"].shape[0] == 2
    assert not torch.equal(*whole["random.cpu"])
    assert all(torch.equal(whole[key], again[key]) for key in whole)


@pytest.mark.parametrize("killed", [0, 1])
def test_one_that_is_killed_stops_the_other_and_loses_nothing(killed, tmp_path):
    file, out = TASKS["text"].write(tmp_path, 1), tmp_path / "out"
    processes = start(2, *arguments("text", file, out, steps=10**6, save_every=0))
    while step_of(out) < 3:
        assert processes[0].poll() is None, finish(processes)
    processes[killed].kill()
    found = finish(processes)
    assert found[killed][0] == -signal.SIGKILL
    code, _, stderr = found[1 - killed]
    assert code == 2
    assert re.fullmatch(rf"carrousel: process {1 - killed} of 2 lost another one.*--resume\n", stderr)
    step = step_of(out)
    assert step >= 3
    assert finish(start(2, "train", "text", "--out", out, "--resume", "--steps", step + 2))[0][0] == 0
    assert step_of(out) == step + 2


def test_a_signal_to_one_stops_and_saves_all(tmp_path):
    file, out = TASKS["text"].write(tmp_path, 1), tmp_path / "out"
    processes = start(2, *arguments("text", file, out, steps=10**6, save_every=0))
    while step_of(out) < 1:
        assert processes[0].poll() is None, finish(processes)
    processes[1].send_signal(signal.SIGTERM)
    first, second = finish(processes)
    assert first[0] == second[0] == 128 + signal.SIGTERM
    assert "progress saved; continue with" in first[2]
    assert second[1:] == ("", "")
    assert step_of(out) > 0


def test_what_is_wrong_is_printed_once(tmp_path):
    file = TASKS["text"].write(tmp_path, 1)
    for wrong, message in [
        (arguments("text", tmp_path / "none.txt", tmp_path / "a"), "none.txt does not exist"),
        (arguments("text", file, tmp_path / "b", batch=1), "--batch 1 is less than one for each of 2 processes"),
        (arguments("text", file, tmp_path / "c", device="cuda"), "--device cuda is for one process"),
        (["train", "text", "--out", tmp_path / "d", "--resume"], "holds no checkpoint to resume"),
        (arguments("text", file, tmp_path / "e", lr=1e38, clip=0, optimizer="sgd"), "weights of step"),
    ]:
        first, second = finish(start(2, *wrong))
        assert (first[0], second[0]) == (2, 2)
        assert message in first[2]
        assert first[2].count("\n") == 1
        assert second[1:] == ("", "")


def test_torchrun_starts_them(tmp_path):
    file, out = TASKS["classify"].write(tmp_path, 1), tmp_path / "out"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "carrousel", *map(str, arguments("classify", file, out))]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("12 steps") == 1
    assert step_of(out) == 12


def test_parts_have_no_gap_and_no_overlap():
    for size in range(1, 20):
        for count in range(1, size + 1):
            parts = [Ranks(rank, count).part(size) for rank in range(count)]
            assert [first for first, _ in parts] == [sum(n for _, n in parts[:rank]) for rank in range(count)]
            assert sum(n for _, n in parts) == size
            assert min(n for _, n in parts) >= 1
