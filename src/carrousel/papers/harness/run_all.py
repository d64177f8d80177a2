"""Rows over the cores; trials that have ended are kept in a file, from which an interrupted run goes on."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from carrousel.errors import UserError
from carrousel.papers.lstm1997 import trials
from carrousel.papers.lstm1997.row import Row
from carrousel.papers.lstm1997.trials import Outcome

KINDS = get_type_hints(Outcome)


class Kept:
    """The trials that have ended, one JSON line each, in a file from which each goes once it is told.

    Another run may write into the same file, and any run may be killed while it writes: a line is written at once, and
    one that is none is passed over.

    Args:
        path: the file.
        seed: trials of another seed are not these.

    Raises:
        UserError: the file cannot be read or written.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.seed = path, seed
        self.lock = threading.Lock()
        self.outcomes: dict[str, dict[int, Outcome]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("ab").close()  # now, not when the first trial has ended
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise UserError(f"--out {path.parent} cannot be used ({error.strerror}): choose another folder") from None
        for seed, key, outcome in filter(None, map(trial_of, lines)):
            if seed == self.seed:
                self.outcomes.setdefault(key, {})[outcome.trial] = outcome

    def add(self, row: Row, outcome: Outcome) -> None:
        """Keep a trial.

        Raises:
            UserError: it cannot be written.
        """
        line = json.dumps({"seed": self.seed, "row": row.key, **outcome.facts()})
        with self.lock:
            self.outcomes.setdefault(row.key, {})[outcome.trial] = outcome
            try:
                self.append(line.encode() + b"\n")
            except OSError as error:
                raise UserError(
                    f"{self.path} cannot be written ({error.strerror}), a trial that has ended is lost: make room, "
                    "then the same command goes on from those before it"
                ) from None

    def append(self, line: bytes) -> None:
        """Write a line at the end, behind one that was cut short too."""
        with self.path.open("a+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            rest = line if file.read(1) in (b"", b"\n") else b"\n" + line
            while rest:  # in one go, unless the disk is full, which the second one tells
                rest = rest[file.write(rest) :]

    def of(self, row: Row, count: int) -> list[Outcome]:
        """The first `count` trials of a row that have ended."""
        found = self.outcomes.get(row.key, {})
        return [found[trial] for trial in sorted(found) if trial < count]

    def forget(self, counts: dict[str, int]) -> None:
        """These trials are told, so that the next run of them starts from nothing; all others stay.

        Args:
            counts: how many trials of each row, by its key.

        Raises:
            UserError: the file cannot be written.
        """
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.partial")
        try:
            lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
            left = [line for line in lines if not self.is_told(trial_of(line), counts)]
            if left:
                partial.write_bytes(b"".join(left))
                partial.replace(self.path)
            else:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise UserError(f"{self.path} cannot be written ({error.strerror}): make room, or remove it") from None

    def is_told(self, trial: tuple[int, str, Outcome] | None, counts: dict[str, int]) -> bool:
        """Whether a line is of no use any more."""
        if trial is None:
            return True
        seed, key, outcome = trial
        return seed == self.seed and outcome.trial < counts.get(key, 0)


def trial_of(line: bytes) -> tuple[int, str, Outcome] | None:
    """A line's seed, row and trial; None where it is no such line, as one that was cut short with its run."""
    try:
        facts = json.loads(line)
        seed, key, outcome = facts.pop("seed"), facts.pop("row"), Outcome(**facts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    whole = isinstance(key, str) and all(fits(getattr(outcome, name), kind) for name, kind in KINDS.items())
    return (seed, key, outcome) if whole else None


def fits(value: Any, kind: Any) -> bool:
    """Whether a value that came from JSON is of the kind that a field is declared with."""
    if get_origin(kind) is list:
        return isinstance(value, list) and all(fits(each, *get_args(kind)) for each in value)
    if get_args(kind):  # int | None
        return any(fits(value, each) for each in get_args(kind))
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def run_all(
    rows: Sequence[Row],
    counts: dict[str, int],
    kept: Kept,
    progress: Callable[[Row, Outcome], None],
    halted: Callable[[], bool],
) -> dict[str, float]:
    """Run what is left of the rows: the longest first, rows of one rule side by side, each rule on a core of its own.

    Args:
        rows: which.
        counts: how many trials of each, by its key.
        kept: the trials that have ended before; those that end now are added.
        progress: called with each trial that ends.
        halted: once it says yes, nothing more is run.

    Returns:
        The seconds that each row took, by its key; those of trials that ended before included.

    Raises:
        UserError: a trial cannot be kept; nothing more is run then.
    """
    seconds = {row.key: max((o.seconds for o in kept.of(row, counts[row.key])), default=0.0) for row in rows}
    before = dict(seconds)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    over = threading.Event()

    def stop() -> bool:
        return over.is_set() or halted()

    def done(row: Row, outcome: Outcome) -> None:
        outcome = replace(outcome, seconds=round(before[row.key] + outcome.seconds, 3))
        kept.add(row, outcome)
        seconds[row.key] = max(seconds[row.key], outcome.seconds)
        progress(row, outcome)

    together = companies(rows, counts, kept)

    def run(company: Sequence[tuple[Row, int]]) -> None:
        if not stop():
            trials.run(company, kept.seed, done, stop, threads=cores if len(together) == 1 else 1)

    with ThreadPoolExecutor(max_workers=cores) as pool:
        futures = [pool.submit(run, company) for company in together]
        wait(futures, return_when=FIRST_EXCEPTION)
        over.set()  # where one has failed the others need not go on
        for future in futures:
            future.result()
    return seconds


def companies(rows: Sequence[Row], counts: dict[str, int], kept: Kept) -> list[list[tuple[Row, int]]]:
    """The trials that are left, those of one rule together: the longest first, both within and without.

    Ten trials of one row leave six of sixteen lanes empty, and the last of them fifteen. With rows side by side, what
    counts is the sum of their sequences, not the sum of each row's longest trial.
    """
    found: dict[tuple[object, ...], list[tuple[Row, int]]] = {}
    for row in rows:
        ended = {outcome.trial for outcome in kept.of(row, counts[row.key])}
        left = sorted(set(range(counts[row.key])) - ended)
        found.setdefault(row.rule, []).extend((row, number) for number in left)
    for company in found.values():
        company.sort(key=lambda trial: (-trial[0].steps, trial[1]))
    expected = {rule: sum(row.steps * row.paper.sequences for row, _ in company) for rule, company in found.items()}
    return [found[rule] for rule in sorted(found, key=lambda rule: -expected[rule]) if found[rule]]
