"""The options of a run: each is declared once, with its default, help text and range.

The command line, the checks and the memory estimate all read them here. A task adds its own in a subclass of `Options`.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar, NamedTuple, TypeVar

from carrousel.errors import UserError

DATA, MODEL, TRAINING, RUN = "Data", "Model", "Training", "Run"  # panels of the help text, in this order
WEIGHTS, STEP = "weights", "step"  # what an option enlarges

OPTIMIZERS = {"adamw": 6e-3, "adam": 6e-3, "sgd": 1.0}  # and their default learning rates
SCHEDULES = ("cosine", "linear", "constant")
BUDGETS = ("steps", "epochs", "minutes")

Self = TypeVar("Self", bound="Options")


class About(NamedTuple):
    """What is known of an option beside its name, type and default; arguments as for `option`."""

    help: str
    panel: str
    least: float | None
    below: float
    range: str
    choices: tuple[str, ...]
    enlarges: str
    may_change: bool
    metavar: str


def option(
    default: Any,
    help: str,
    panel: str = TRAINING,
    *,
    least: float | None = None,
    below: float = math.inf,
    range: str = "",
    choices: Collection[str] = (),
    enlarges: str = "",
    may_change: bool = False,
    metavar: str = "",
) -> Any:
    """A field of an options class.

    Args:
        default: None: the option is open; `complete` may fill it in.
        help: one line for `--help`.
        panel: where `--help` shows it.
        least, below: the range of a number: least <= number < below.
        range: the range in words, for the error message. Default: "at least " + least.
        choices: the words that it may be.
        enlarges: WEIGHTS or STEP: what takes more memory when this number is larger. The product of all STEP options
            is the number of units (characters, sequences, ...) in a step.
        may_change: it may be given again with --resume.
        metavar: makes it a positional argument with this name in the help text.
    """
    about = About(help, panel, least, below, range, tuple(choices), enlarges, may_change, metavar)
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True)
class Options:
    """The options that every task has; on the command line they have the same names, with - for _.

    Attributes:
        default_budget: when a run ends that no option ends; of several the first that is reached.
    """

    default_budget: ClassVar[dict[str, float]] = {"minutes": 12}

    batch: int = option(32, "Sequences side by side in a step (B).", least=1, enlarges=STEP)
    optimizer: str = option("adamw", f"One of {', '.join(OPTIMIZERS)}.", choices=OPTIMIZERS)
    lr: float | None = option(
        None, "Highest learning rate (default: 0.006; sgd: 1).", least=math.ulp(0.0), range="above 0"
    )
    weight_decay: float = option(0.1, "Weight decay of AdamW.", least=0)
    schedule: str = option("cosine", f"Learning rate schedule: {', '.join(SCHEDULES)}.", choices=SCHEDULES)
    clip: float = option(1.0, "Largest norm of the gradient; 0: no limit.", least=0)
    steps: int | None = option(
        None, "End after so many steps.", least=1, below=2**63, range="at least 1 and below 2**63", may_change=True
    )
    epochs: float | None = option(
        None,
        "End after so many passes over the data.",
        least=math.ulp(0.0),
        below=1e12,
        range="above 0 and below 1e12",
        may_change=True,
    )
    minutes: float | None = option(
        None,
        "End after so many minutes.",
        least=math.ulp(0.0),
        below=1e12,
        range="above 0 and below 1e12",
        may_change=True,
    )
    patience: int = option(0, "End after so many validations without improvement; 0: never.", least=0, may_change=True)
    seed: int = option(1, "Seed of weights and dropout.", least=0, below=2.0**64)
    device: str = option("auto", "cpu, cuda, cuda:1, ...; auto: a GPU if there is one.", RUN, may_change=True)
    save_every: float = option(60.0, "Seconds between checkpoints.", RUN, least=0, may_change=True)

    @classmethod
    def describe(cls) -> dict[str, About]:
        """What is known of each option, by name."""
        about: dict[str, About] = {each.name: each.metadata["about"] for each in fields(cls)}
        for name, value in cls.default_budget.items():
            first = "; what comes first ends it" if len(cls.default_budget) > 1 else ""
            about[name] = about[name]._replace(help=f"{about[name].help[:-1]} (default: {value:,}{first}).")
        return about

    @property
    def has_data(self) -> bool:
        """Whether the options name something to train on."""
        return True

    def to_repeat(self) -> list[str]:
        """Arguments that a command with --resume has to repeat, for example - for stdin, which is not saved."""
        return []

    def complete(self: Self) -> Self:
        """Check these options and fill in those that are open.

        Raises:
            UserError: a value is not allowed; names the option, the value and what is allowed.
        """
        for name, about in self.describe().items():
            check(name, getattr(self, name), about)
        budget = {name: getattr(self, name) for name in BUDGETS if getattr(self, name) is not None}
        if len(budget) > 1 and budget != self.default_budget:  # which a run that is resumed has
            raise UserError(f"--{' and --'.join(budget)} both say when to end: give one of them")
        lr = OPTIMIZERS[self.optimizer] if self.lr is None else self.lr
        return replace(self, lr=lr, **(budget or self.default_budget))

    def sizes(self, enlarges: str) -> dict[str, int]:
        """The options, by name, that enlarge the weights or a step."""
        return {name: getattr(self, name) for name, about in self.describe().items() if about.enlarges == enlarges}

    @property
    def units(self) -> int:
        """How many units (characters, sequences, ...) a step trains on."""
        return math.prod(self.sizes(STEP).values())

    def to_json(self) -> dict[str, Any]:
        """All options in types that JSON has."""
        return asdict(self)

    @classmethod
    def from_json(cls: type[Self], values: dict[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            UserError: they are those of another version.
        """
        if unknown := sorted(values.keys() - cls.describe().keys()):
            raise UserError(f"the run has {spell(unknown[0])}, which this version does not know: train the model again")
        found: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in values.items()}
        return cls(**found)

    def resume_with(self: Self, now: Options, given: Collection[str]) -> Self:
        """The options with which a run continues.

        Args:
            now: the options of the command that resumes.
            given: the names of those that were given; all others stay as they were.

        Raises:
            UserError: an option was given that would make it a different run.
        """
        about = self.describe()
        for name in sorted(given):
            if not about[name].may_change and getattr(now, name) != getattr(self, name):
                raise UserError(
                    f"{spell(name)} {getattr(now, name)} does not fit: the run to resume has "
                    f"{getattr(self, name)}; leave the option out, or train into another --out"
                )
        changes = {name: getattr(now, name) for name in given if about[name].may_change}
        if any(name in given for name in BUDGETS):
            changes = {**dict.fromkeys(BUDGETS), **changes}
        return replace(self, **changes)


def check(name: str, value: Any, about: About) -> None:
    """Raise UserError if an option's value is not among its choices, or not in its range."""
    if about.choices and value is not None and value not in about.choices:
        raise UserError(f"{spell(name)} {value} is not one of {', '.join(about.choices)}")
    if about.least is not None and value is not None and not about.least <= value < about.below:
        allowed = about.range or f"at least {about.least}"
        raise UserError(f"{spell(name)} {value} is not allowed: it must be {allowed}")


def spell(name: str) -> str:
    """An option as it is typed: save_every -> --save-every."""
    return f"--{name.replace('_', '-')}"
