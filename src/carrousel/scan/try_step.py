"""Try a step on small tensors when its cell or a layer is made: mistakes are reported there, not at the first call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from carrousel.cells import Cell
from carrousel.errors import add_note

B, H = 2, 3


def sample_arguments(cell: Cell, dtype: torch.dtype) -> tuple[tuple[Tensor, ...], ...]:
    """Random arguments of `cell.step`: rows and states [B, H], and weights [H] if the cell has any."""
    generator = torch.Generator().manual_seed(0)  # its own: the program's random numbers stay as they are
    shapes = [(len(cell.rows), B, H), (len(cell.states), B, H), (len(cell.weights), H)]
    tensors = [torch.randn(shape, generator=generator, dtype=dtype, device="cpu") for shape in shapes]
    return tuple(tuple(t.clone() for t in of_a_kind) for of_a_kind in tensors[: 3 if cell.weights else 2])


def try_step(cell: Cell) -> None:
    """Run the cell's step once in float32 and once in float64. What the step itself raises passes through.

    Raises:
        TypeError: it does not return a tuple of tensors of the dtype that went in.
        ValueError: it changes an argument in place, or returns another number of states, or of another shape.
    """
    masks = cell.more_arguments()[-1:] if cell.masks else ()  # each as where nothing is sampled
    for dtype in (torch.float32, torch.float64):
        arguments = sample_arguments(cell, dtype)
        try:
            new = cell.step(*arguments, *masks)
        except Exception as error:  # a person's function may raise anything: it passes through, with its name
            add_note(error, f"raised by the cell {cell.name!r}, tried on rows and states [{B}, {H}]")
            raise
        _check_unchanged(cell, arguments, sample_arguments(cell, dtype))
        _check_states(cell, new, dtype)


def _check_unchanged(cell: Cell, arguments: Any, before: Any) -> None:
    kinds = {"row": cell.rows, "state": cell.states, "weight": cell.weights}
    for (kind, names), tensors, originals in zip(kinds.items(), arguments, before):
        if changed := [name for name, t, original in zip(names, tensors, originals) if not torch.equal(t, original)]:
            raise ValueError(
                f"cell {cell.name!r}: its step changes the {kind} {changed[0]} in place: write {changed[0]} = "
                f"{changed[0]} + ... for {changed[0]} += ..., and no function whose name ends in _"
            )


def _check_states(cell: Cell, new: Any, dtype: torch.dtype) -> None:
    if not isinstance(new, tuple):
        comma = f": write return ({cell.states[0]},), with a comma" if len(cell.states) == 1 else ""
        raise TypeError(
            f"cell {cell.name!r}: its step returns a {type(new).__name__}, expected a tuple of the states "
            f"({', '.join(cell.states)}){comma}"
        )
    if len(new) != len(cell.states):
        raise ValueError(
            f"cell {cell.name!r}: its step returns {len(new)} values, expected the {len(cell.states)} states "
            f"({', '.join(cell.states)})"
        )
    for name, state in zip(cell.states, new):
        if not isinstance(state, Tensor):
            raise TypeError(
                f"cell {cell.name!r}: its step returns {state!r} for the state {name}, expected a tensor [B, H]"
            )
        if state.shape != (B, H):
            raise ValueError(
                f"cell {cell.name!r}: from rows and states [{B}, {H}] its step makes the state {name} "
                f"{list(state.shape)}, expected [{B}, {H}] again: a step goes unit by unit"
            )
        if state.dtype != dtype:
            raise TypeError(
                f"cell {cell.name!r}: from {dtype} its step makes the state {name} in {state.dtype}: it must keep the "
                "dtype it is given"
            )
