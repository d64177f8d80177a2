"""The rows that a command line names, and suggestions for names that do not exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from carrousel.errors import UserError
from carrousel.papers.harness.paper_row import Experiment, PaperRow, find_rows
from carrousel.papers.harness.readings import LITERAL

Experiments = Mapping[str, Experiment]  # by name, in the paper's order
Chosen = list[tuple[Experiment, PaperRow]]
EVERY = "all"  # readings, or methods


def choose(
    experiments: Experiments,
    names: Sequence[str],
    numbers: Sequence[str],
    reading: str | None,
    everything: bool,
    method: str | None = None,
) -> Chosen:
    """The rows that a command line names, in the paper's order.

    Args:
        experiments: all of them.
        names: of experiments; none: all of them.
        numbers: of rows or of groups of rows, as the paper writes them.
        reading: a name, or "all"; None: all, or the literal one if rows are named by number.
        everything: include rows that take minutes; rows named by number are always included.
        method: a name, or "all"; None: each experiment's own method.

    Raises:
        UserError: no experiment, row, reading or method has this name.
    """
    rows = choose_method(find_named(experiments, names), method)
    check_numbers(numbers, rows)
    if numbers:
        rows = [(of, row) for of, row in rows if any(is_called(row, number) for number in numbers)]
    wanted = (LITERAL if numbers else EVERY) if reading is None else reading
    found = [(of, row) for of, row in rows if wanted in (EVERY, row.reading)]
    if not found:
        check_name("--reading", wanted, "a reading", (row.reading for _, row in rows))
    short = found if numbers or everything else [(of, row) for of, row in found if not row.long]
    if not short:
        slow = ", ".join(dict.fromkeys(row.number for _, row in found))
        raise UserError(
            f"--reading {wanted!r} has only rows that take minutes ({slow}): add --all, or name one with --row"
        )
    return short


def find_named(experiments: Experiments, names: Sequence[str]) -> Chosen:
    """Every row of the named experiments, or of all experiments if none is named.

    Raises:
        UserError: no experiment has this name.
    """
    for name in names:
        if name not in experiments:
            is_row = any(is_called(row, name) for _, row in find_rows(experiments.values()))
            hint = f"; {name} is a row: --row {name}" if is_row else nearest(name, experiments)
            raise UserError(f"there is no experiment {name!r}; there are {', '.join(experiments)}{hint}")
    return find_rows(experiment for name, experiment in experiments.items() if name in names or not names)


def choose_method(rows: Chosen, method: str | None) -> Chosen:
    """The rows of one method.

    Raises:
        UserError: no row has a method of this name.
    """
    if method is None:
        return [(of, row) for of, row in rows if not row.compared]
    found = [(of, row) for of, row in rows if method in (EVERY, row.method.name)]
    if not found:
        check_name("--method", method, "a method", (row.method.name for _, row in rows))
    return found


def check_name(option: str, name: str, kind: str, known: Iterable[str]) -> None:
    """Raise UserError if a name is not among the known ones, with the nearest of them."""
    known = list(dict.fromkeys((EVERY, *known)))
    if name not in known:
        raise UserError(f"{option} {name!r} is not {kind} of these rows; use {', '.join(known)}{nearest(name, known)}")


def check_numbers(numbers: Sequence[str], rows: Chosen) -> None:
    """Check that each number names one of these rows, or a group of them.

    Raises:
        UserError: a number does not.
    """
    for number in numbers:
        if not any(is_called(row, number) for _, row in rows):
            known = ", ".join(dict.fromkeys(row.number for _, row in rows))
            raise UserError(f"--row {number} does not exist here; use {known}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: up to three names similar to one that does not exist, or nothing.

    Args:
        name: as it was typed.
        known: the names that exist. Names that contain the typed one are nearest; of these, extensions of another one
            are left out.
    """
    typed = name.lower().replace("_", "-").replace(" ", "-")
    within = sorted((each for each in known if typed in each), key=lambda each: not each.startswith(typed))
    within = [each for each in within if not any(each.startswith(f"{other}-") for other in within)]
    names = within[:3] or get_close_matches(typed, list(known), n=1)
    return f"; did you mean {' or '.join(names)}?" if names else ""


def is_called(row: PaperRow, number: str) -> bool:
    """Whether a number names the row or one of its groups: 2c, 3a, 3, 4."""
    number = number.lower()
    return row.number.startswith(number) and not row.number[len(number) :][:1].isdigit()
