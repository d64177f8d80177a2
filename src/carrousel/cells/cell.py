"""What a cell is: the names of its rows and states, and one pure function of them.

Letters: T time, B batch, I input, H hidden units. A *row* is a pre-activation [B, H], such as `i` of an LSTM: what its
block of W makes of x plus what its block of R makes of h. Nothing here knows torch: the same `step` runs on tensors
(carrousel.scan) and on symbols (carrousel.codegen).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from carrousel.cells.check_cell import check_cell, parse_names

Value: TypeAlias = Any  # what a step computes with: a tensor, or a symbol
Values: TypeAlias = tuple[Value, ...]  # the rows of a step, its states, weights or masks


@dataclass(frozen=True)
class Cell:
    """A recurrent cell: its equations, written once. Tensors run them, and the kernels are generated from them.

    The LSTM:

        def step(rows, states):
            i, f, g, o = rows
            _, c = states
            c = sigmoid(f) * c + sigmoid(i) * tanh(g)
            return sigmoid(o) * tanh(c), c

        Cell("lstm", rows="ifgo", from_x="ifgo", from_h="ifgo", states="hc", step=step)

    Args:
        name: of the cell in Python, in C++ and on the command line; an identifier.
        rows: the pre-activations, in the kernels' order: those fed by x only, by both, by h only. Names of one letter
            may be written together: "ifgo".
        from_x: the rows that `W x` feeds, in the order of W's blocks.
        from_h: the rows that `R h` feeds, in the order of R's blocks; may be empty.
        states: the states; the first is the output h, which is fed back through R.
        step: `step(rows, states)` returns the new states; `weights` and `masks` follow as arguments if the cell has
            any. It is pointwise: it may use + - * /, powers, comparisons, numbers, the functions of
            carrousel.cells.functions, and the methods that `carrousel.cell` lists, such as x.log() and x.clamp(-1, 1).
        weights: weight vectors [H] that multiply unit by unit, such as peepholes.
        forget_gate: name of the forget-gate row, used by `forget_bias` and `longest_lag`; "" if the cell has none.
        input_gate: name of the input-gate row, used by the same. A cell that names this one only has coupled gates:
            its forget gate is one minus its input gate.
        fed: the states that R multiplies, side by side; R has H more columns for each after the first, which is h. The
            kernel of a cell with `normed` feeds back h only. Default: the first state.
        masks: random numbers [B, H], sampled anew at each step, such as those of dropout (carrousel.scan.masks): by
            name, the value of each where nothing is sampled. They get no gradient.
        normed: `W x` and `R h` are each normalised as a whole, over all rows and units, and multiplied by gains before
            they are added to each other and to the biases: a = LN(W x) gain_x + LN(R h) gain_h + b. Each row has its
            gains [H], which stand before `weights`: first those of from_x, then those of from_h, named x_i and h_i for
            a row i. step gets them all and uses its own. A kernel needs three rows or more. Default False.
        starts: the value of each of `weights` in a new layer, a number. Default: random, as torch draws its parameters.
            Gains of `normed` start at 1.

    Raises:
        TypeError, ValueError: a field is not valid, or the fields do not fit together.
    """

    name: str
    rows: tuple[str, ...]
    from_x: tuple[str, ...]
    from_h: tuple[str, ...]
    states: tuple[str, ...]
    step: Callable[..., Values]
    weights: tuple[str, ...] = ()
    forget_gate: str = dataclasses.field(default="", compare=False)  # not part of the equations
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
        step: Callable[..., Values],
        weights: Iterable[str] = (),
        forget_gate: str = "",
        input_gate: str = "",
        fed: Iterable[str] = (),
        masks: Mapping[str, float] | Iterable[tuple[str, float]] = (),
        normed: bool = False,
        starts: Iterable[float] = (),
    ) -> None:
        # written out: names are given as any iterable, such as "ifgo", and stored as tuples
        lists = {"rows": rows, "from_x": from_x, "from_h": from_h, "states": states, "weights": weights, "fed": fed}
        fields: dict[str, Any] = {field: parse_names(name, field, given) for field, given in lists.items()}
        fields |= {"name": name, "step": step, "forget_gate": forget_gate, "input_gate": input_gate}
        fields |= {"masks": tuple(dict(masks).items()), "normed": bool(normed), "starts": tuple(starts)}
        fields["fed"] = fields["fed"] or fields["states"][:1]
        if normed:
            _add_gains(fields)
        for field, value in fields.items():
            object.__setattr__(self, field, value)
        check_cell(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the fields of a pickled cell; layers that were saved by an older version hold cells without `fed`."""
        vars(self).update(state)
        vars(self)["fed"] = self.fed or self.states[:1]

    def more_arguments(
        self, weights: Sequence[Any] = (), masks: Sequence[Any] | None = None
    ) -> tuple[tuple[Any, ...], ...]:
        """The arguments of `step` after rows and states: weights and masks, if the cell has any.

        Without masks each is its value where nothing is sampled.
        """
        masks = [value for _, value in self.masks] if masks is None else masks
        return tuple(tuple(given) for given, names in ((weights, self.weights), (masks, self.masks)) if names)


def _add_gains(fields: dict[str, Any]) -> None:
    """Put the gains of a normalised cell before its weights; dataclasses.replace gives fields that have them."""
    gains = (*(f"x_{row}" for row in fields["from_x"]), *(f"h_{row}" for row in fields["from_h"]))
    if fields["weights"][: len(gains)] != gains:
        fields["weights"] = (*gains, *fields["weights"])
        fields["starts"] = (*[1.0] * len(gains), *fields["starts"])
