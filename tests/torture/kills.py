"""SIGKILL at random moments, and resumption: a run ends bit for bit as one that was never stopped."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from every_task import TASKS, words
from runs import same_run

from carrousel import checkpoint
from carrousel.cli import run

from .children import Child, run_alone
from .findings import Findings, judge

STEPS = 60
LONGEST = 300.0  # seconds of a run of about one
SAME, DIFFERENT = 0, 1


def arguments(name: str, file: Path, out: Path) -> list[str]:
    """A run with random numbers that saves after each step, or goes on where it was stopped."""
    options = {**TASKS[name].options, **TASKS[name].random, "steps": STEPS, "save_every": 0}
    return ["train", name, str(file), "--out", str(out), "--resume", *words(options)]


def write_whole(name: str, folder: Path) -> tuple[Path, Path, float]:
    """A data file, the folder of a run that nobody stops, and the seconds that it takes."""
    file = TASKS[name].write(folder, 1)
    whole = folder / "whole"
    start = time.monotonic()
    run_alone(lambda: run(arguments(name, file, whole)), folder / "errors.txt")
    return file, whole, time.monotonic() - start


def compare(out: Path, whole: Path) -> int:
    """Whether two runs left the same files, and in their checkpoints the same bits."""
    if not same_run(out, whole):
        return DIFFERENT
    best = [checkpoint.read(folder / "best.safetensors", "")[1] for folder in (out, whole)]
    same_best = best[0].keys() == best[1].keys() and all(best[0][key].equal(best[1][key]) for key in best[0])
    names = [sorted(path.name for path in folder.iterdir()) for folder in (out, whole)]
    return SAME if same_best and names[0] == names[1] else DIFFERENT


def kill_some(command: list[str], out: Path, seconds: float, draw: random.Random) -> tuple[int, str]:
    """Start a run again and again, and kill it at random moments.

    Returns:
        How many were killed before they ended, and what is wrong with one that ended, or "".
    """
    kills, errors = 0, out.with_name("errors.txt")
    wanted = draw.choice([1, 1, 2, 3])
    while kills < wanted:
        child = Child(lambda: run(command), errors)
        time.sleep(draw.uniform(0, seconds))
        code = child.kill()
        if code == -signal.SIGKILL:
            kills += 1
        elif wrong := judge(code, errors.read_text(errors="replace"), may_fail=False):
            return kills, wrong
        elif kills:
            break  # it was resumed to its end
        else:
            remove(out)
    return kills, ""


def torture(name: str, trials: int, seed: int, folder: Path, findings: Findings) -> None:
    """Runs of a task, each killed once to three times and then resumed to its end.

    Args:
        name: of the task.
        trials: how many runs.
        seed: of the moments, as parts of the time that a run takes.
        folder: for the files.
        findings: what is counted and found.
    """
    file, whole, seconds = write_whole(name, folder)
    for trial in range(trials):
        draw = random.Random(f"{seed} {name} {trial}")
        out, where = folder / f"out{trial}", f"kills {name} seed {seed} trial {trial}"
        command = arguments(name, file, out)
        kills, wrong = kill_some(command, out, seconds, draw)
        if wrong:
            findings.add_fault(where, wrong, out)
        is_same = resume_and_compare(where, command, out, whole, findings)
        findings.count(f"kills {name}: SIGKILLs", kills)
        findings.count(f"kills {name}: runs resumed to the same end", is_same)
        remove(out)


def resume_and_compare(where: str, command: list[str], out: Path, whole: Path, findings: Findings) -> bool:
    """Resume a run to its end, and return whether that is the end of a run that nobody stopped."""
    errors = out.with_name("errors.txt")
    code, text = Child(lambda: run(command) or compare(out, whole), errors).finish(LONGEST)
    if code == DIFFERENT and not text:
        findings.add_fault(where, "the end differs from that of a run that was never stopped", out, whole)
    elif wrong := judge(code, text, may_fail=False):
        findings.add_fault(where, wrong, out)
    return code == SAME and not text


def remove(out: Path) -> None:
    """Remove the folder of a run, if it is there."""
    if out.exists():
        for path in out.iterdir():
            path.unlink()
        out.rmdir()
