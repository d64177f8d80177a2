"""The file of the trials that have ended, from which an interrupted run continues."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from carrousel.errors import UserError
from carrousel.papers.harness.paper_row import PaperRow
from carrousel.papers.harness.trials import Outcome

FIELDS = get_type_hints(Outcome)


class FinishedTrials:
    """Trials that have ended, one JSON line each in a file; a line is removed once its trial has been reported.

    Another run may write into the same file, and any run may be killed while it writes: each line is written in one
    call, and invalid lines are skipped.

    Args:
        path: the file.
        seed: trials of other seeds are ignored.

    Raises:
        UserError: the file cannot be read or written.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.seed = seed
        self.lock: threading.Lock = threading.Lock()
        self.outcomes: dict[str, dict[int, Outcome]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("ab").close()  # fail now, not when the first trial has ended
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise UserError(f"--out {path.parent} cannot be used ({error.strerror}): choose another folder") from None
        for seed, key, outcome in filter(None, map(parse, lines)):
            if seed == self.seed:
                self.outcomes.setdefault(key, {})[outcome.trial] = outcome

    def add(self, row: PaperRow, outcome: Outcome) -> None:
        """Add a trial.

        Raises:
            UserError: the file cannot be written.
        """
        line = json.dumps({"seed": self.seed, "row": row.key, **outcome.facts()})
        with self.lock:
            self.outcomes.setdefault(row.key, {})[outcome.trial] = outcome
            try:
                self.append(line.encode() + b"\n")
            except OSError as error:
                raise UserError(
                    f"{self.path} cannot be written ({error.strerror}), and the last trial is lost: free some space, "
                    "then run the same command again; it continues after the trials before"
                ) from None

    def append(self, line: bytes) -> None:
        """Write a line at the end of the file, also after a line that was cut short."""
        with self.path.open("a+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            rest = line if file.read(1) in (b"", b"\n") else b"\n" + line
            while rest:  # one call, unless the disk is full; then the second call raises
                rest = rest[file.write(rest) :]

    def of(self, row: PaperRow, count: int) -> list[Outcome]:
        """The finished ones among the first `count` trials of a row."""
        found = self.outcomes.get(row.key, {})
        return [found[trial] for trial in sorted(found) if trial < count]

    def forget(self, counts: dict[str, int]) -> None:
        """Remove trials that have been reported, so that the next run of them starts anew; all others stay.

        Args:
            counts: number of trials of each row, by its key.

        Raises:
            UserError: the file cannot be written.
        """
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.partial")
        try:
            lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
            left = [line for line in lines if not self.is_obsolete(parse(line), counts)]
            if left:
                partial.write_bytes(b"".join(left))
                partial.replace(self.path)
            else:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise UserError(
                f"{self.path} cannot be written ({error.strerror}): free some space, or remove it"
            ) from None

    def is_obsolete(self, trial: tuple[int, str, Outcome] | None, counts: dict[str, int]) -> bool:
        """Whether a line is invalid, or its trial has been reported."""
        if trial is None:
            return True
        seed, key, outcome = trial
        return seed == self.seed and outcome.trial < counts.get(key, 0)


def parse(line: bytes) -> tuple[int, str, Outcome] | None:
    """A line's seed, row and trial; None if the line is invalid, for example cut short when its run was killed."""
    try:
        facts = json.loads(line)
        seed, key, outcome = facts.pop("seed"), facts.pop("row"), Outcome(**facts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    is_valid = isinstance(key, str) and all(matches(getattr(outcome, name), type_) for name, type_ in FIELDS.items())
    return (seed, key, outcome) if is_valid else None


def matches(value: Any, type_: Any) -> bool:
    """Whether a value from JSON has the type that a field is declared with."""
    if get_origin(type_) is list:
        return isinstance(value, list) and all(matches(each, *get_args(type_)) for each in value)
    if get_args(type_):  # int | None
        return any(matches(value, each) for each in get_args(type_))
    if isinstance(value, bool):
        return type_ is bool
    return isinstance(value, (int, float) if type_ is float else type_)
