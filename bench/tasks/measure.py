"""The commands of a job, run one after another, each in a process of its own as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import carrousel
from bench.tasks.jobs import JOBS, Job
from carrousel.errors import UserError


def choose(names: str | None) -> list[Job]:
    """The jobs whose names begin with one of some words, with commas between; None: all.

    Raises:
        UserError: no job's name begins so.
    """
    wanted = [word.strip().lower() for word in (names or "").split(",") if word.strip()] or [""]
    found = [job for job in JOBS if any(job.name.lower().startswith(word) for word in wanted)]
    if not found:
        raise UserError(f"--only {names} begins no job's name: {', '.join(job.name for job in JOBS)}")
    return found


def measure(job: Job, data: Path) -> dict[str, Any]:
    """Train and test.

    Args:
        job: which.
        data: the folder of all data sets.

    Returns:
        Commands, figures, steps and seconds, in types that JSON has.

    Raises:
        UserError: a command fails; its own message says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if job.prepare:
            job.prepare(data, work)
        places = {"data": data, "work": work}
        trained = run(["train", *job.train.format(**places).split(), "--out", str(work / "run")])
        found = trained["valid"]
        if job.test:
            found = run(["eval", str(work / "run"), *job.test.format(**places).split()])
    shown = {"data": "DATA", "work": "WORK"}
    commands = [f"carrousel train {job.train.format(**shown)} --out RUN"]
    commands += [f"carrousel eval RUN {job.test.format(**shown)}"] if job.test else []
    return {
        "commands": commands,
        "figures": {name: found[name] for name in job.figures if name in found},
        "steps": trained["step"],
        "seconds": trained["seconds"],
        "weights": trained["weights"],
        "threads": torch.get_num_threads(),
        "version": carrousel.__version__,
    }


def run(arguments: list[str]) -> dict[str, Any]:
    """The result of a command of `carrousel`, as JSON."""
    command = [sys.executable, "-m", "carrousel", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise UserError(f"`carrousel {' '.join(arguments)}` ended with {done.returncode}: see above")
    return json.loads(done.stdout)
