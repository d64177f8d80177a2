"""Small runs of `carrousel train text` for the tests, in this process and in others."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import torch

import carrousel
from carrousel import checkpoint
from carrousel.tasks.text import TASK, TextOptions
from carrousel.training import run

WORDS = ["constant", "error", "carrousel", "gates", "open", "or", "close", "as", "time", "goes", "by"]
SIZES = {"hidden": 12, "batch": 4, "length": 8, "steps": 12}
SMALL = [word for name, value in SIZES.items() for word in (f"--{name}", str(value))]

# A process of its own, with one thread: two cores are shared by all tests that run.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
ENVIRONMENT["PYTHONPATH"] = os.pathsep.join(
    [str(Path(carrousel.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
)
PROGRAM = [sys.executable, "-m", "carrousel"]


def sentences(characters: int = 4000, seed: int = 1) -> str:
    """Words at random, in lines."""
    draw = random.Random(seed)
    text = ""
    while len(text) < characters:
        text += " ".join(draw.choices(WORDS, k=9)) + ".\n"
    return text[:characters]


def write_text(folder: Path, characters: int = 4000) -> Path:
    """A file of sentences."""
    path = folder / "text.txt"
    path.write_text(sentences(characters))
    return path


def train(text: Path, out: Path, **options) -> dict:
    """A small run in this process."""
    files = () if options.get("stdlib") else (str(text),)
    return run.train(TASK, TextOptions(files=files, **{**SIZES, **options}), out, quiet=True)


def resume(out: Path, *, given=(), **options) -> dict:
    """Continue a run in this process, with the options that are given."""
    return run.train(TASK, TextOptions(**options), out, resume=True, given=given or options, quiet=True)


def obey_signals() -> None:
    """For a child process: SIGINT and SIGHUP end it, even if the tests run under nohup or in the background."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def carrousel_process(*arguments, **options) -> subprocess.Popen:
    """The command in a process of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": obey_signals}
    return subprocess.Popen([*PROGRAM, *map(str, arguments)], env=ENVIRONMENT, **{**pipes, **options})


def carrousel_done(*arguments, **options) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    process = carrousel_process(*arguments, **options)
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def step_of(out: Path) -> int:
    """The step of a run's last checkpoint; -1: there is none."""
    last = out / "last.safetensors"
    return checkpoint.read(last, "")[0]["step"] if last.exists() else -1


def wait_for_start(out: Path, process: subprocess.Popen) -> None:
    """Until a process that trains has saved, which every run does when it starts."""
    touched = (out / "last.safetensors").stat().st_mtime_ns if out.exists() else None
    while not (out / "last.safetensors").exists() or (out / "last.safetensors").stat().st_mtime_ns == touched:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def same_run(one: Path, other: Path) -> bool:
    """Whether two runs stand at the same point, bit for bit: every tensor, and the losses on the way."""
    facts, tensors = zip(*(checkpoint.read(out / "last.safetensors", "") for out in (one, other)), strict=True)
    curves = [[[p[0], p[1], p[3]] for p in f["curve"]["train"] + f["curve"]["valid"]] for f in facts]
    return (
        curves[0] == curves[1]
        and facts[0]["step"] == facts[1]["step"]
        and facts[0]["losses"] == facts[1]["losses"]
        and tensors[0].keys() == tensors[1].keys()
        and all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    )


@contextmanager
def full_disk(free: int):
    """No file may grow beyond so many bytes: the kernel refuses the write, as it does when a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
