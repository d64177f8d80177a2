"""Rows over the cores; trials that have ended are kept in a file, from which an interrupted run goes on."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from carrousel.errors import UserError
from carrousel.papers.lstm1997 import trials
from carrousel.papers.lstm1997.row import Row
from carrousel.papers.lstm1997.trials import Outcome


class Kept:
    """The trials that have ended, one JSON line each, in a file that is gone once all are told.

    Args:
        path: the file.
        seed: trials of another seed are not these.

    Raises:
        UserError: the file cannot be written, or is not such a file.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.seed = path, seed
        self.lock = threading.Lock()
        self.outcomes: dict[str, dict[int, Outcome]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        except OSError as error:
            raise UserError(f"--out {path.parent} cannot be used ({error.strerror}): choose another folder") from None
        for line in lines:
            self.read(line)

    def read(self, line: str) -> None:
        """Take in a line; the last one may have been cut short with the run."""
        try:
            facts = json.loads(line)
            seed, key, outcome = facts.pop("seed"), facts.pop("row"), Outcome(**facts)
        except (ValueError, KeyError, TypeError):
            return
        if seed == self.seed:
            self.outcomes.setdefault(key, {})[outcome.trial] = outcome

    def add(self, row: Row, outcome: Outcome) -> None:
        """Keep a trial."""
        line = json.dumps({"seed": self.seed, "row": row.key, **outcome.facts()})
        with self.lock:
            self.outcomes.setdefault(row.key, {})[outcome.trial] = outcome
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def of(self, row: Row, count: int) -> list[Outcome]:
        """The first `count` trials of a row that have ended."""
        found = self.outcomes.get(row.key, {})
        return [found[trial] for trial in sorted(found) if trial < count]

    def forget(self) -> None:
        """All is told: the next run starts from nothing."""
        self.path.unlink(missing_ok=True)


def run_all(
    rows: Sequence[Row],
    counts: dict[str, int],
    kept: Kept,
    progress: Callable[[Row, Outcome], None],
    halted: Callable[[], bool],
) -> dict[str, float]:
    """Run what is left of the rows: the longest first, each on a core of its own.

    Args:
        rows: which.
        counts: how many trials of each, by its key.
        kept: the trials that have ended before; those that end now are added.
        progress: called with each trial that ends.
        halted: once it says yes, nothing more is run.

    Returns:
        The seconds that each row took, by its key; those of trials that ended before included.
    """
    seconds = {row.key: max((o.seconds for o in kept.of(row, counts[row.key])), default=0.0) for row in rows}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ordered = sorted(rows, key=lambda row: -row.steps * row.paper.sequences * counts[row.key])

    def run(row: Row) -> None:
        left = sorted(set(range(counts[row.key])) - {outcome.trial for outcome in kept.of(row, counts[row.key])})

        def done(outcome: Outcome) -> None:
            kept.add(row, outcome)
            seconds[row.key] = max(seconds[row.key], outcome.seconds)
            progress(row, outcome)

        if left and not halted():
            trials.run(row, kept.seed, left, done, halted, threads=cores if len(rows) == 1 else 1)

    with ThreadPoolExecutor(max_workers=cores) as pool:
        for future in [pool.submit(run, row) for row in ordered]:
            future.result()
    return seconds
