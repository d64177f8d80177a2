"""What a cell is: the names of its rows and states, and one pure function of them.

Letters: T time, B batch, I input, H hidden units. A *row* is a pre-activation [B, H], such as `i` of an LSTM: the sum
of what its block of W gives from x and what its block of R gives from h. Nothing here knows torch: the same `step` runs
on tensors (carrousel.scan) and on symbols (carrousel.codegen).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
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


# What makes a gate of a row: `return_gates` shows the values of these.
GATE_FUNCTIONS = ("sigmoid", "tanh", "relu", "exp")


def softplus(x: Any) -> Any:
    """log(1 + e^x) = -log(sigmoid(-x)), of a tensor or a symbol."""
    return x.logaddexp(x.new_zeros(()))  # of torch's ways the one that is a method and right at every x


EPS = 1e-5  # added to the variance wherever something is normalised, as in torch.nn.LayerNorm


def layer_norm(x: Any) -> Any:
    """(x - mean) / sqrt(variance + 1e-5) over the last place of a tensor, the units of a layer; or of a symbol.

    Only a cell with `normed` may call it in its step, and once: its kernel has two pointwise stages, and the mean and
    the variance between them.

    Source: Ba, Kiros & Hinton 2016, equation 3 for mean and deviation; gain and bias are the cell's.
    """
    if hasattr(x, "_layer_norm"):  # a symbol: carrousel.codegen.tape
        return x._layer_norm()
    centred = x - x.mean(-1, keepdim=True)
    return centred * (centred.square().mean(-1, keepdim=True) + EPS).rsqrt()


def names_of(cell: Any, field: str, given: Any) -> tuple[str, ...]:
    """Names as a tuple, of any iterable of them.

    Raises:
        TypeError: they are no names.
    """
    try:
        names = tuple(given)
    except TypeError:
        names = (given,)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"cell {cell!r}: {field}={given!r} must be names, such as 'ifgo' or ('forget', 'new')")
    return names


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
        step: `step(rows, states)`, with `weights` and `masks` after them where they are named, returns the new states.
            It is pointwise: it may use + - * /, powers, comparisons, numbers, this module's sigmoid, tanh, relu, exp,
            and as methods what `carrousel.cell` lists, such as x.log() and x.clamp(-1, 1).
        weights: weight vectors [H] that multiply unit by unit, such as peepholes.
        forget_gate: the row whose sigmoid says how much of the old state stays, for those initialisations that speak
            of it; "" where there is none.
        input_gate: the row whose sigmoid says how much of the new comes in. Where it alone is named, what comes in is
            what does not stay.
        fed: the states that R multiplies, one beside the other: R has as many columns for each. The first is the output
            h; of a cell with `normed` a kernel feeds back h alone. Default: the first state.
        masks: random numbers [B, H] that are drawn anew at each step, such as dropout's (carrousel.scan.noise): by
            name, the value of each where nothing is drawn. No gradient goes to them.
        normed: `W x` and `R h` are normalised, each as a whole, over all its rows and units, and multiplied by gains,
            before they are added to each other and to the biases: a = LN(W x) gain_x + LN(R h) gain_h + b. Each row
            has its gains [H]: they stand before `weights`, those of from_x first, then those of from_h, named x_i, h_i
            for a row i; step is given all of them, and uses its own. A kernel takes three rows or more. Default False.
        starts: what each of `weights` holds in a new layer, a number. Default: random, as torch draws its parameters.
            Gains of `normed` start at 1.

    Raises:
        ValueError: a name is no identifier or stands twice, a row is fed by nothing, the rows are badly ordered, a
            gate is no row, or what is fed back is no state.
    """

    name: str
    rows: tuple[str, ...]
    from_x: tuple[str, ...]
    from_h: tuple[str, ...]
    states: tuple[str, ...]
    step: Callable[..., tuple[Any, ...]]
    weights: tuple[str, ...] = ()
    forget_gate: str = dataclasses.field(default="", compare=False)  # no part of the equations
    input_gate: str = dataclasses.field(default="", compare=False)
    fed: tuple[str, ...] = ()
    masks: tuple[tuple[str, float], ...] = ()
    normed: bool = False
    starts: tuple[float, ...] = dataclasses.field(default=(), compare=False)

    def __init__(
        self,
        name: str,
        rows: Iterable[str],
        from_x: Iterable[str],
        from_h: Iterable[str],
        states: Iterable[str],
        step: Callable[..., tuple[Any, ...]],
        weights: Iterable[str] = (),
        forget_gate: str = "",
        input_gate: str = "",
        fed: Iterable[str] = (),
        masks: Mapping[str, float] | Iterable[tuple[str, float]] = (),
        normed: bool = False,
        starts: Iterable[float] = (),
    ) -> None:
        # written out because the names come as any iterable, "ifgo" too, and are kept as tuples
        from_x, from_h = names_of(name, "from_x", from_x), names_of(name, "from_h", from_h)
        rows, states = names_of(name, "rows", rows), names_of(name, "states", states)
        weights, fed = names_of(name, "weights", weights), names_of(name, "fed", fed)
        starts, fed = tuple(starts), fed or states[:1]
        if normed:
            gains = (*(f"x_{row}" for row in from_x), *(f"h_{row}" for row in from_h))
            if weights[: len(gains)] != gains:  # they are there already in what dataclasses.replace gives
                weights, starts = (*gains, *weights), (*[1.0] * len(gains), *starts)
        names = {"rows": rows, "from_x": from_x, "from_h": from_h, "states": states, "weights": weights, "fed": fed}
        single = {"name": name, "step": step, "forget_gate": forget_gate, "input_gate": input_gate}
        single["masks"] = tuple(dict(masks).items())
        single |= {"normed": bool(normed), "starts": starts}
        for field, value in (single | names).items():
            object.__setattr__(self, field, value)
        if self.starts and len(self.starts) != len(self.weights):
            raise ValueError(f"cell {name!r}: starts={self.starts} must have one number for each of {self.weights}")
        self._check_names()
        self._check_order()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the fields of a pickled cell, which may be of a version without `fed`."""
        vars(self).update(state)
        vars(self)["fed"] = self.fed or self.states[:1]

    def further(self, weights: Sequence[Any] = (), masks: Sequence[Any] | None = None) -> tuple[tuple[Any, ...], ...]:
        """What `step` takes after rows and states: weights and masks, where it has any. Default: nothing is drawn."""
        masks = [value for _, value in self.masks] if masks is None else masks
        return tuple(tuple(given) for given, names in ((weights, self.weights), (masks, self.masks)) if names)

    def _check_names(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(
                f"a cell's name becomes a name in C++, and {self.name!r} can not: use letters, digits and _"
            )
        for field in ("rows", "from_x", "from_h", "states", "weights", "fed", "masks"):
            names = getattr(self, field) if field != "masks" else tuple(name for name, _ in self.masks)
            if not all(name.isidentifier() for name in names):
                raise ValueError(f"cell {self.name!r}: {field}={names} must be letters, digits and _")
            if bad := [name for name in names if iskeyword(name) or name.startswith("_")]:
                raise ValueError(
                    f"cell {self.name!r}: {field}={names} are the names of fields, and {bad[0]!r} can be none: take "
                    "one that is no keyword of Python's and does not begin with _"
                )
            if len(set(names)) < len(names):
                raise ValueError(f"cell {self.name!r}: {field}={names} names one of them twice")
        for gate in ("forget_gate", "input_gate"):
            if getattr(self, gate) not in ("", *self.rows):
                raise ValueError(f"cell {self.name!r}: {gate}={getattr(self, gate)!r} is not among rows={self.rows}")
        if self.fed[:1] != self.states[:1] or not set(self.fed) <= set(self.states):
            raise ValueError(
                f"cell {self.name!r}: fed={self.fed} must be some of states={self.states}, the first of them first"
            )
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
