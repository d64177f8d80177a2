"""What holds for every task: stopped at any moment and resumed, a run ends bit for bit as one that was never stopped;
a full disk, weights that are no numbers, damaged files and bad input lose nothing and are one line."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from every_task import TASKS, resume, train, words
from runs import ENVIRONMENT, PROGRAM, carrousel_done, carrousel_process, full_disk, same_run, step_of, wait_for_start
from safetensors import safe_open

from carrousel import checkpoint
from carrousel.cli import run
from carrousel.errors import UserError
from carrousel.tasks import ALL

pytestmark = pytest.mark.slow

each_task = pytest.mark.parametrize("name", TASKS)


def test_every_task_is_tested():
    assert set(TASKS) == set(ALL)


def arguments(name: str, file: Path, out: Path, **options) -> list[str]:
    """The command line of a long run with random numbers."""
    values = {**TASKS[name].options, **TASKS[name].random, "steps": 1000, **options}
    return ["train", name, str(file), "--out", str(out), *words(values)]


@pytest.fixture(scope="module", params=TASKS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def file(name, tmp_path_factory):
    return TASKS[name].write(tmp_path_factory.mktemp(name), 1)


@pytest.fixture(scope="module")
def whole(name, file):
    """A long run that was never stopped."""
    out = file.parent / "whole"
    code, stdout, stderr = carrousel_done(*arguments(name, file, out))
    assert (code, stderr) == (0, "")
    assert "1,000 steps" in stdout
    return out


# ---- stopped --------------------------------------------------------------------------------------------------------


def test_killed_at_any_moment_and_resumed(name, file, whole, tmp_path):
    """SIGKILL before the first checkpoint and twice after; a checkpoint after each step, so that most kills hit one."""
    out = tmp_path / "out"
    seed = random.randrange(10**6)
    draw = random.Random(seed)
    for kill in range(3):
        process = carrousel_process(*arguments(name, file, out, save_every=0), "--resume")
        if kill:
            wait_for_start(out, process)
            time.sleep(draw.uniform(0.0, 0.3))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, f"kill {kill} of seed {seed} came too late"
    step = step_of(out)
    assert 0 < step < 1000, f"seed {seed}"
    code, _, stderr = carrousel_done("train", name, "--out", out, "--resume")
    assert (code, stderr) == (0, "")
    assert same_run(out, whole), f"seed {seed}, last stop at step {step}"


def test_a_signal_saves_and_says_how_to_go_on(name, file, whole, tmp_path):
    """SIGTERM, then Ctrl-C, each followed by the very command that was printed."""
    out = tmp_path / "a folder"
    command = [*PROGRAM, *arguments(name, file, out, save_every=0.1)]
    last = 0
    for number in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while step_of(out) <= last:
            assert process.poll() is None, process.communicate()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        stopped = re.fullmatch(r"stopped at step ([\d,]+), progress saved; continue with: (.*)\n", stderr)
        step, command = int(stopped[1].replace(",", "")), shlex.split(stopped[2])
        assert last < step < 1000
        last = step
        assert step_of(out) == step
        assert (out / "loss.png").exists()
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert same_run(out, whole)


def test_a_run_stopped_at_each_step_is_the_same(name, file, tmp_path):
    """In one process, one step more with each resumption."""
    options = TASKS[name].random
    train(name, file, tmp_path / "whole", **options, schedule="constant")
    train(name, file, tmp_path / "out", **{**options, "steps": 1}, schedule="constant")
    for steps in range(2, 13):
        resume(name, tmp_path / "out", steps=steps)
    facts, tensors = zip(
        *(checkpoint.read(tmp_path / out / "last.safetensors", "") for out in ("whole", "out")), strict=True
    )
    assert facts[0]["step"] == facts[1]["step"] == 12
    assert all(tensors[0][key].equal(tensors[1][key]) for key in tensors[0])


def test_a_run_is_not_overwritten_and_not_shared(name, file, tmp_path, capsys):
    out = tmp_path / "out"
    process = carrousel_process(*arguments(name, file, out, steps=10**6))
    wait_for_start(out, process)
    assert run(["train", name, "--out", str(out), "--resume"]) == 2
    assert "is in use by another run" in capsys.readouterr().err
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    with pytest.raises(UserError, match=r"holds a run at step [\d,]+: add --resume"):
        train(name, file, out)


# ---- what cannot go on ----------------------------------------------------------------------------------------------


def test_a_full_disk_keeps_the_last_checkpoint(name, file, tmp_path):
    out = tmp_path / "out"
    train(name, file, out, steps=5)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with (
        full_disk(free=len(before["last.safetensors"]) // 2),
        pytest.raises(UserError, match=rf"could not be saved .*carrousel train {name} --out .* --resume"),
    ):
        resume(name, out, steps=50, save_every=0.0)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert resume(name, out, steps=50)["step"] == 50


def test_a_full_disk_from_the_start_is_one_line(name, file, tmp_path):
    """The kernel lets no file of this process grow beyond 2000 bytes."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # noqa: E731
    code, _, stderr = carrousel_done(*arguments(name, file, tmp_path / "out"), preexec_fn=limit)
    assert code == 2
    assert re.fullmatch(r"carrousel: \S+last.safetensors could not be saved \(File too large\); .*\n", stderr)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_loss_that_is_no_number_stops_and_keeps_good_weights(name, file, tmp_path, optimizer):
    says = r"became (nan|inf) at step \d+; lower --lr .*; the weights of step \d+ are saved in"
    diverging = {"optimizer": optimizer, "lr": 1e38, "clip": 0.0, "schedule": "constant", "steps": 50}
    with pytest.raises(UserError, match=says):
        train(name, file, tmp_path / "out", **diverging, save_every=0.0)
    tensors = checkpoint.read(tmp_path / "out" / "last.safetensors", "")[1]
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_resume_refuses_other_data_and_other_tasks(name, file, tmp_path):
    out = tmp_path / "out"
    train(name, file, out)
    with pytest.raises(UserError, match="was trained on other data"):
        resume(name, out, files=(str(TASKS[name].write(tmp_path, 2)),))
    with pytest.raises(UserError, match="--hidden 13 does not fit: the run to resume has"):
        resume(name, out, hidden=13)
    other = next(each for each in TASKS if each != name)
    with pytest.raises(UserError, match=f"holds a run of `train {name}`: choose another folder"):
        resume(other, out)


def test_a_moved_data_file_is_named_again(name, file, tmp_path):
    moved = tmp_path / f"moved{file.suffix}"
    moved.write_bytes(file.read_bytes())
    train(name, moved, tmp_path / "out")
    moved = moved.rename(tmp_path / f"again{file.suffix}")
    with pytest.raises(UserError, match="does not exist"):
        resume(name, tmp_path / "out", steps=14)
    assert resume(name, tmp_path / "out", steps=14, files=(str(moved),))["step"] == 14


@pytest.mark.parametrize("damage", ["truncated", "edited"])
def test_a_damaged_checkpoint_is_refused(name, file, tmp_path, damage, capsys):
    train(name, file, tmp_path / "out")
    for path in tmp_path.glob("out/*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-50] ^= 1
        path.write_bytes(content[:-50] if damage == "truncated" else content)
    for command in ("train {name} --out {out} --resume", "eval {out} {file}", "predict {out} {file}"):
        assert run(command.format(name=name, out=tmp_path / "out", file=file).split()) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert re.search(rf"(last|best)\.safetensors (is|was) {damage}", line)


@pytest.mark.parametrize("command", ["train {name} {bad} --out {out}", "eval {model} {bad}", "predict {model} {bad}"])
@pytest.mark.parametrize("kind", ["missing", "empty", "binary", "folder", "damaged gzip", "name"])
def test_bad_files_are_one_line(name, file, whole, tmp_path, kind, command, capsys):
    if name in ("text", "words") and command.startswith("predict"):
        pytest.skip("language models predict no table; the test of that is in tests/cli")
    bad = tmp_path / f"bad{file.suffix}"
    bad = tmp_path / ("a" * 300) if kind == "name" else bad
    content = {"empty": b"", "binary": bytes(range(256)) * 20, "damaged gzip": b"\x1f\x8b\x08" + b"x" * 50}.get(kind)
    if content is not None:
        bad.write_bytes(content)
    if kind == "folder":
        bad.mkdir()
    assert run(command.format(name=name, bad=bad, out=tmp_path / "out", model=whole).split()) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert re.fullmatch(r"carrousel: [^\n]*bad[^\n]*\n|carrousel: [^\n]*aaa[^\n]*\n", stderr), stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_one_line(name, file, tmp_path, capsys):
    closed = tmp_path / f"closed{file.suffix}"
    closed.write_bytes(file.read_bytes())
    closed.chmod(0)
    assert run(["train", name, str(closed), "--out", str(tmp_path / "out")]) == 2
    assert "cannot be read: Permission denied" in capsys.readouterr().err


# ---- what a run leaves ----------------------------------------------------------------------------------------------


def test_a_run_leaves_what_it_says_and_no_pickle(name, file, tmp_path):
    result = train(name, file, tmp_path / "out", steps=40)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == sorted(result["files"])
    report = json.loads((out / "run.json").read_text())
    assert report["result"] == result
    assert report["options"]["steps"] == 40
    for path in out.iterdir():
        assert path.suffix in (".safetensors", ".png", ".json")
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as opened:
                assert json.loads(opened.metadata()["carrousel"])["task"] == name
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_eval_is_as_in_training(name, file, tmp_path, capsys):
    """A file of its own to validate on: eval of it prints the numbers of the run."""
    other = TASKS[name].write(tmp_path, 2)
    result = train(name, file, tmp_path / "out", valid=str(other), steps=40)
    assert run(["eval", str(tmp_path / "out"), str(other), "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    numbers.pop("notes", None)  # of the file, or of how it was measured
    assert numbers == result["valid"]
    assert run(["eval", str(tmp_path / "out"), str(other)]) == 0
    assert ALL[name].describe(result["valid"]) in capsys.readouterr().out
