"""Damaged data files: each is read or refused in one line, in time and in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from every_task import TASKS, words

from carrousel.cli import run

from .children import Child, run_alone
from .damage import damage
from .findings import Findings, judge
from .good_files import KINDS, Kind

GB = 2**30
MOST = 2 * GB  # bytes of memory that a command may take beyond what it has at its start
LONGEST = 60.0  # seconds of a command that takes a tenth of one; the machine may be busy
CHAINED = 500  # commands in a child
WRONG = 3  # the exit code of a child whose last command went wrong


def torture_each(
    where: str,
    seeds: range,
    try_one: Callable[[int], tuple[int, str]],
    file: Path,
    folder: Path,
    findings: Findings,
) -> None:
    """Try so many damaged files, many in a child, and go on after one that crashes or hangs.

    Args:
        where: the part and the kind of the files.
        seeds: one for each file.
        try_one: makes the file of a seed, runs a command, and returns its exit code and what is wrong with it, or "".
        file: that `try_one` makes, to be saved where something is wrong.
        folder: for other files.
        findings: what is counted and found.
    """
    progress, errors = folder / "progress.txt", folder / "errors.txt"
    seed = seeds.start
    while seed < seeds.stop:
        progress.write_text(f"{seed} 0")
        some = range(seed, min(seed + CHAINED, seeds.stop))
        child = Child(lambda some=some: try_some(some, try_one, progress, errors), errors, MOST)
        code = watch(child, progress)
        done, refused = map(int, progress.read_text().split())
        findings.count(f"{where}: read", done - seed - refused)
        findings.count(f"{where}: refused in one line", refused)
        seed = done
        if code != 0:
            text = errors.read_text(errors="replace")
            wrong = text if code == WRONG else judge(code, text)
            findings.add_fault(f"{where} seed {seed}", wrong or f"exit code {code}", file)
            findings.count(f"{where}: FAULTS")
            seed += 1


def try_some(seeds: range, try_one: Callable[[int], tuple[int, str]], progress: Path, errors: Path) -> int:
    """In a child: one file after another, until something is wrong."""
    refused = 0
    for seed in seeds:
        os.ftruncate(2, 0)
        code, wrong = try_one(seed)
        wrong = wrong or judge(code, read_errors(errors))
        if wrong:
            os.ftruncate(2, 0)
            os.write(2, wrong.encode(errors="replace"))
            return WRONG
        refused += code == 2
        progress.write_text(f"{seed + 1} {refused}")
    return 0


def read_errors(errors: Path) -> str:
    """What this process wrote to stderr."""
    return errors.read_text(errors="replace")


def watch(child: Child, progress: Path) -> int | None:
    """Wait for a child that tries one file after another; None: one of them takes too long, and it was killed."""
    before, since = "", time.monotonic()
    while True:
        code = child.wait(1.0)
        if code is not None:
            return code
        now = progress.read_text()
        if now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > LONGEST:
            child.kill()
            return None


# ---- data files ------------------------------------------------------------------------------------------------------


def torture(kind: Kind, count: int, seed: int, folder: Path, findings: Findings) -> None:
    """Damaged files of a kind, for training, `carrousel eval` and `carrousel predict`.

    Args:
        kind: of the files.
        count: how many.
        seed: of the damage.
        folder: for the files.
        findings: what is counted and found.
    """
    file, model = write_good(kind, folder)
    content = file.read_bytes()
    named = file.parents[1] if kind.is_folder else file

    def try_one(number: int) -> tuple[int, str]:
        file.write_bytes(damage(content, number))
        return run(choose_command(kind, named, folder / "out", model, number)), ""

    torture_each(f"files {kind.task} {kind.suffix}", range(seed, seed + count), try_one, file, folder, findings)


def write_good(kind: Kind, folder: Path) -> tuple[Path, Path]:
    """A good file of this kind, and a model that was trained on it."""
    name, model = folder / "name.txt", folder / "model"

    def write() -> int:
        file = kind.write(folder)
        name.write_text(str(file))
        named = file.parents[1] if kind.is_folder else file
        return run(["train", kind.task, str(named), "--out", str(model), *words(options_of(kind, 12))])

    run_alone(write, folder / "errors.txt")
    return Path(name.read_text()), model


def options_of(kind: Kind, steps: int) -> dict[str, object]:
    """The options of a small run on such a file."""
    options = TASKS[kind.task].options if kind.suffix in ("plain", "gz", "parquet") else SMALL[kind.task]
    return {**options, **kind.options, "steps": steps}


SMALL = {name: {key: small.options[key] for key in ("hidden", "batch")} for name, small in TASKS.items()}


def choose_command(kind: Kind, file: Path, out: Path, model: Path, number: int) -> list[str]:
    """Every second file trains; the others are measured and predicted."""
    if number % 2:
        for path in out.glob("*"):
            path.unlink()
        return ["train", kind.task, str(file), "--out", str(out), *words(options_of(kind, 2))]
    can_predict = kind.task not in ("text", "words")
    return ["predict" if number % 4 and can_predict else "eval", str(model), str(file)]


def all_kinds(tasks: list[str]) -> list[Kind]:
    """The kinds of files that these tasks read."""
    return [kind for kind in KINDS if kind.task in tasks]
