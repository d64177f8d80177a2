"""What a cell is: the names of its rows and states, and one pure function of them.

Letters: T time, B batch, I input, H hidden units. A *row* is a pre-activation [B, H], such as `i` of an LSTM: the sum
of what its block of W gives from x and what its block of R gives from h. Nothing here knows torch: the same `step` runs
on tensors (carrousel.scan) and on symbols (carrousel.codegen).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x), of a tensor or a symbol."""
    return x.sigmoid()


def tanh(x: Any) -> Any:
    """(e^x - e^-x) / (e^x + e^-x), of a tensor or a symbol."""
    return x.tanh()


def relu(x: Any) -> Any:
    """max(x, 0), of a tensor or a symbol."""
    return x.relu()


def exp(x: Any) -> Any:
    """e^x, of a tensor or a symbol."""
    return x.exp()


@dataclass(frozen=True)
class Cell:
    """A recurrent cell: its equations, written once; tensors run them, and the kernels are generated from them.

    Args:
        name: what the cell is called in Python, C++ and on the command line; an identifier.
        rows: the pre-activation rows, in the kernels' order: rows fed by x only, by both, by h only. Names with one
            letter may be written together: "ifgo".
        from_x: the rows that `W x` feeds, in the order of W's blocks.
        from_h: the rows that `R h` feeds, in the order of R's blocks; may be empty.
        states: the states; the first is the output h, which is fed back through R.
        step: `step(rows, states)`, or `step(rows, states, weights)` when `weights` are named, returns the new states.
            It is pointwise: it may use + - * /, powers, comparisons, numbers, this module's sigmoid, tanh, relu, exp,
            and as methods what `carrousel.cell` lists, such as x.log() and x.clamp(-1, 1).
        weights: weight vectors [H] that multiply unit by unit, such as peepholes.

    Raises:
        ValueError: a name is no identifier or stands twice, a row is fed by nothing, or the rows are badly ordered.
    """

    name: str
    rows: tuple[str, ...]
    from_x: tuple[str, ...]
    from_h: tuple[str, ...]
    states: tuple[str, ...]
    step: Callable[..., tuple[Any, ...]]
    weights: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        rows: Iterable[str],
        from_x: Iterable[str],
        from_h: Iterable[str],
        states: Iterable[str],
        step: Callable[..., tuple[Any, ...]],
        weights: Iterable[str] = (),
    ) -> None:
        # written out because the names come as any iterable, "ifgo" too, and are kept as tuples
        names = {"rows": rows, "from_x": from_x, "from_h": from_h, "states": states, "weights": weights}
        for field, value in {"name": name, "step": step, **{k: tuple(v) for k, v in names.items()}}.items():
            object.__setattr__(self, field, value)
        self._check_names()
        self._check_order()

    def _check_names(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(
                f"a cell's name becomes a name in C++, and {self.name!r} can not: use letters, digits and _"
            )
        for field in ("rows", "from_x", "from_h", "states", "weights"):
            names = getattr(self, field)
            if not all(name.isidentifier() for name in names):
                raise ValueError(f"cell {self.name!r}: {field}={names} must be letters, digits and _")
            if len(set(names)) < len(names):
                raise ValueError(f"cell {self.name!r}: {field}={names} names one of them twice")
        if not self.from_x or not self.states:
            raise ValueError(f"cell {self.name!r}: from_x={self.from_x} and states={self.states} need one name or more")

    def _check_order(self) -> None:
        for field in ("from_x", "from_h"):
            if unknown := [row for row in getattr(self, field) if row not in self.rows]:
                raise ValueError(f"cell {self.name!r}: {field} feeds {unknown}, which are not among rows={self.rows}")
        if idle := [row for row in self.rows if row not in self.from_x + self.from_h]:
            raise ValueError(f"cell {self.name!r}: nothing feeds {idle}: name them in from_x or from_h")
        # False < True: fed by x only (0), by both (1), by h only (2)
        ordered = tuple(sorted(self.rows, key=lambda row: (row in self.from_h) + (row not in self.from_x)))
        if self.rows != ordered:
            raise ValueError(
                f"cell {self.name!r}: rows={self.rows} must begin with those fed by x only and end with those fed by "
                f"h only: write rows={ordered}, and take them in that order in step"
            )
