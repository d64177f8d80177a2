"""What a run is told: every option of `carrousel train text`, its default, and what it may be."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from carrousel.data.text import STDIN, absolute
from carrousel.errors import UserError
from carrousel.tasks.text import CELLS

OPTIMIZERS = {"adamw": 6e-3, "adam": 6e-3, "sgd": 1.0}  # and the rate that each has if none is given
SCHEDULES = ("cosine", "linear", "constant")
BUDGETS = ("steps", "epochs", "minutes")
DEFAULT_MINUTES = 12.0
MAY_CHANGE = {*BUDGETS, "patience", "save_every", "device", "files", "valid"}  # when a run is resumed


@dataclass(frozen=True)
class Options:
    """The options of a run; the same names as on the command line."""

    files: tuple[str, ...] = ()
    stdlib: bool = False
    encoding: str = "utf-8"
    letters: bool = False
    characters: int | None = None
    valid: str | None = None
    valid_fraction: float = 0.1
    cell: str = "lstm"
    hidden: int = 384
    layers: int = 2
    dropout: float | None = None
    length: int = 64
    batch: int = 32
    optimizer: str = "adamw"
    lr: float | None = None
    weight_decay: float = 0.1
    schedule: str = "cosine"
    clip: float = 1.0
    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None
    patience: int = 0
    seed: int = 1
    device: str = "auto"
    save_every: float = 60.0

    def checked(self) -> Options:
        """These options with what was left open filled in.

        Raises:
            UserError: a value that cannot be; names it.
        """
        self.check_sources()
        self.check_numbers()
        for name, choices in (("cell", CELLS), ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in choices:
                raise UserError(f"--{name} {getattr(self, name)} is not one of {', '.join(choices)}")
        budgets = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(budgets) > 1:
            raise UserError(f"--{' and --'.join(budgets)} both say when to end: give one of them")
        return replace(
            self,
            dropout=(0.2 if self.layers > 1 else 0.0) if self.dropout is None else self.dropout,
            lr=OPTIMIZERS[self.optimizer] if self.lr is None else self.lr,
            minutes=self.minutes if budgets else DEFAULT_MINUTES,
            files=tuple(map(absolute, self.files)),
            valid=self.valid and absolute(self.valid),
        )

    def check_sources(self) -> None:
        """Exactly one kind of text."""
        if self.stdlib and self.files:
            raise UserError("--stdlib is a text of its own: leave out the files, or leave out --stdlib")
        if not self.stdlib and not self.files:
            raise UserError("no text to train on: name one or more files, - for stdin, or take --stdlib")
        if [*self.files, self.valid].count(STDIN) > 1:
            raise UserError("- is stdin, which can be read only once: name it once, and files beside it")

    def check_numbers(self) -> None:
        """Every number in its range."""
        for name in ("hidden", "layers"):
            self.check(name, 1, 10**6 + 1, "at least 1 and at most 1,000,000")
        for name in ("length", "batch", "characters"):
            self.check(name, 1, math.inf)
        self.check("steps", 1, 2**63, "at least 1 and below 2**63")
        for name in ("minutes", "epochs"):
            self.check(name, math.ulp(0.0), 1e12, "above 0 and below 1e12")
        self.check("lr", math.ulp(0.0), math.inf, "above 0")
        for name in ("clip", "weight_decay", "save_every", "patience"):
            self.check(name, 0, math.inf)
        self.check("seed", 0, 2.0**64)
        for name in ("dropout", "valid_fraction"):
            self.check(name, 0, 1, "at least 0 and below 1")

    def check(self, name: str, least: float, end: float, words: str = "") -> None:
        """One number, if it was given: from `least` to below `end`."""
        value = getattr(self, name)
        if value is not None and not least <= value < end:
            raise UserError(f"--{name.replace('_', '-')} {value} cannot be: it must be {words or f'at least {least}'}")

    def as_facts(self) -> dict[str, Any]:
        """All options, as JSON holds them."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Options:
        """The inverse of `as_facts`."""
        return cls(**{**facts, "files": tuple(facts["files"])})

    def resumed(self, now: Options, given: Collection[str]) -> Options:
        """The options with which a run goes on.

        Args:
            now: what the command line says when it resumes.
            given: the names that stand there; all others are as they were.

        Raises:
            UserError: an option was given that would make it another run.
        """
        for name in sorted(set(given) - MAY_CHANGE):
            if getattr(now, name) != getattr(self, name):
                raise UserError(
                    f"--{name.replace('_', '-')} {getattr(now, name)} does not fit: the run to resume has "
                    f"{getattr(self, name)}; leave the option out, or train into another --out"
                )
        self.check_stdin(given)
        changes = {name: getattr(now, name) for name in given if name in MAY_CHANGE}
        if any(name in given for name in BUDGETS):
            changes = {**dict.fromkeys(BUDGETS), **changes}
        return replace(self, **changes)

    def check_stdin(self, given: Collection[str]) -> None:
        """Refuse to go on with a text that came from stdin and is not there any more."""
        gone = "files" not in given and STDIN in self.files, "valid" not in given and self.valid == STDIN
        if any(gone):
            again = [*(self.files if gone[0] else ()), *(("--valid", STDIN) if gone[1] else ())]
            raise UserError(
                "the run to resume read its text from stdin, and no text is kept: pipe the same text into it again, "
                f"and name stdin again: {' '.join(again)}"
            )


NAMES = tuple(field.name for field in fields(Options))
