"""A layer's weights, packed once for all of its streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.nn import Parameter

from carrousel.cells import Cell
from carrousel.kernel import STREAMS
from carrousel.layers.parameters import Parameters
from carrousel.layers.state import State


class Packed:
    """A layer's weights in the order in which the kernels read them, and how to see that they have changed.

    torch counts what its operations write into a tensor, and new memory has another address. Neither shows what is
    written through `.data`, through NumPy, or by an optimiser with fused=True: for that the compiled stream compares a
    part of the weights at each step with what was packed.
    """

    __slots__ = ("classes", "dtype", "kept", "parameters", "stack")

    def __init__(self, layer: Parameters, names: Sequence[str], weights: Sequence[Any]) -> None:
        there = {name: w for name, w in zip(names, weights) if name}
        self.dtype = weights[0].dtype
        self.kept = [w.detach() for w in there.values()]  # while they live nothing else has their addresses
        self.classes = STREAMS[self.dtype]
        places = [w.data_ptr() for w in there.values()]
        # Whether the parameters lie where they lay, and torch has counted no change.
        self.parameters = self.classes.Parameters(list(there), places, versions(there.values()))
        sizes = layer.hidden_size, layer.proj_size or layer.hidden_size
        addresses = [0 if w is None else w.data_ptr() for w in weights]
        each = len(names) // layer.num_layers
        cell, regularized = cell_of(layer), layer.regularization
        masks = tuple(mask.left for mask in regularized.masks(cell, False)) if regularized else ()
        described = [(weights[k].shape[1], *sizes, *addresses[k : k + each], masks) for k in range(0, len(names), each)]
        self.stack = self.classes.Stack(cell.name, described)

    def stream(self, state: State) -> Any:
        """A compiled stream that writes into a state."""
        return self.classes.Stream(
            self.stack, self.parameters, len(state), tuple([t.data_ptr() for t in state._tensors])
        )


def cell_of(layer: Parameters) -> Cell:
    """The cell that runs in evaluation."""
    return layer.cell if layer.regularization is None else layer.regularization.run_by(layer.cell, False)


def versions(weights: Any) -> list[int]:
    """How often torch has counted a change of each; nothing where it does not count."""
    try:
        return [w._version for w in weights]
    except RuntimeError:  # made in inference mode
        return []


def is_plain(weight: Any) -> bool:
    """A parameter that holds its numbers itself: not one that is computed anew at each look."""
    return type(weight) is Parameter and weight.is_cpu and weight.is_contiguous()
