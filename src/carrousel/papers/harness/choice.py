"""Which rows a command line names, and what was probably meant by a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from carrousel.errors import UserError
from carrousel.papers.lstm1997.experiments import ALL
from carrousel.papers.lstm1997.readings import LITERAL
from carrousel.papers.lstm1997.row import Experiment, Row

Chosen = list[tuple[Experiment, Row]]
EVERY = "all"  # readings


def choose(names: Sequence[str], numbers: Sequence[str], reading: str | None, everything: bool) -> Chosen:
    """The rows that a command line names, in the paper's order.

    Args:
        names: of experiments; none: all of them.
        numbers: of rows or of groups of rows, as the paper writes them.
        reading: its name, or "all"; None: all, or the literal one if rows are named by number.
        everything: rows that take minutes as well; rows named by number always are.

    Raises:
        UserError: an experiment, row or reading of this name does not exist.
    """
    rows = rows_of(names)
    check_numbers(numbers, rows)
    if numbers:
        rows = [(of, row) for of, row in rows if any(is_called(row, number) for number in numbers)]
    wanted = (LITERAL if numbers else EVERY) if reading is None else reading
    found = [(of, row) for of, row in rows if wanted in (EVERY, row.reading)]
    if not found:
        known = list(dict.fromkeys((EVERY, *(row.reading for _, row in rows))))
        raise UserError(
            f"--reading {wanted!r} is not a reading of these rows; there are {', '.join(known)}{nearest(wanted, known)}"
        )
    short = found if numbers or everything else [(of, row) for of, row in found if not row.long]
    if not short:
        slow = ", ".join(dict.fromkeys(row.number for _, row in found))
        raise UserError(
            f"--reading {wanted!r} has only rows that take minutes ({slow}): add --all, or name one with --row"
        )
    return short


def rows_of(names: Sequence[str]) -> Chosen:
    """Every row of these experiments, of all if none is named.

    Raises:
        UserError: a name is not an experiment's.
    """
    for name in names:
        if name not in ALL:
            meant = f"; {name} is a row: --row {name}" if is_row(name) else nearest(name, ALL)
            raise UserError(f"there is no experiment {name!r}; there are {', '.join(ALL)}{meant}")
    experiments = [experiment for name, experiment in ALL.items() if name in names or not names]
    return [(of, row) for of in experiments for row in (*of.rows, *of.variants)]


def check_numbers(numbers: Sequence[str], rows: Chosen) -> None:
    """Check that each number is one of these rows', or of a group of them.

    Raises:
        UserError: a number is not.
    """
    for number in numbers:
        if not any(is_called(row, number) for _, row in rows):
            known = ", ".join(dict.fromkeys(row.number for _, row in rows))
            raise UserError(f"--row {number} is not among {known}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: up to three names like one that does not exist, or nothing.

    Args:
        name: as it was typed.
        known: the names that exist. Those that contain the typed one are nearest; of these, names that only add to
            another one are not listed.
    """
    typed = name.lower().replace("_", "-").replace(" ", "-")
    within = sorted((each for each in known if typed in each), key=lambda each: not each.startswith(typed))
    within = [each for each in within if not any(each.startswith(f"{other}-") for other in within)]
    names = within[:3] or get_close_matches(typed, list(known), n=1)
    return f"; did you mean {' or '.join(names)}?" if names else ""


def is_row(number: str) -> bool:
    """Whether a number is that of a row, or of a group of rows, of any experiment."""
    return any(is_called(row, number) for experiment in ALL.values() for row in experiment.rows)


def is_called(row: Row, number: str) -> bool:
    """Whether a number is a row's, or that of a group it is in: 2c, 3a, 3, 4."""
    number = number.lower()
    return row.number.startswith(number) and not row.number[len(number) :][:1].isdigit()
