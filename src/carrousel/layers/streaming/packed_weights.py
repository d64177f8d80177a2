"""A layer's weights, packed once for all of its streams."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import Parameter

from carrousel.cells import Cell
from carrousel.fused.kernels import STREAMS, is_plain
from carrousel.layers.parameters import Parameters
from carrousel.layers.regularization import make_masks
from carrousel.layers.streaming.state import State


class Packed:
    """A layer's weights in the order in which the kernels read them, and how to see that they have changed.

    torch counts what its operations write into a tensor, and new memory has another address. Neither shows what is
    written through `.data`, through NumPy, or by an optimiser with fused=True: for that the compiled stream compares a
    part of the weights at each step with what was packed.
    """

    __slots__ = ("classes", "dtype", "kept", "parameters", "stack")

    def __init__(self, layer: Parameters, sources: dict[str, Parameter]) -> None:
        with torch.no_grad():
            weights = [layer._weights(of_layer[0]) for of_layer in layer._fields]
        made = [w.detach() for of_layer in weights for w in of_layer if w is not None]
        # while they live nothing else has their addresses
        self.kept = [*(w.detach() for w in sources.values()), *made]
        self.dtype = made[0].dtype
        self.classes = STREAMS[self.dtype]
        places = [w.data_ptr() for w in sources.values()]
        # Whether the parameters lie where they lay, and torch has counted no change.
        self.parameters = self.classes.Parameters(
            list(sources), list(sources.values()), places, versions(sources.values())
        )
        sizes = layer.hidden_size, layer.proj_size or layer.hidden_size
        cell, regularized = choose_evaluation_cell(layer), layer.regularization
        masks = (
            tuple(mask.otherwise for mask in make_masks(regularized, cell.name, False).of_cell) if regularized else ()
        )
        described = [(w.W.shape[1], *sizes, *[0 if t is None else t.data_ptr() for t in w], masks) for w in weights]
        read = {w.data_ptr() for w in made}
        beside = [(w.data_ptr(), w.numel()) for w in sources.values() if w.data_ptr() not in read]
        self.stack = self.classes.Stack(cell.name, described, beside)

    def stream(self, state: State) -> Any:
        """A compiled stream that writes into a state."""
        return self.classes.Stream(
            self.stack, self.parameters, len(state), tuple([t.data_ptr() for t in state._tensors])
        )


def choose_evaluation_cell(layer: Parameters) -> Cell:
    """The cell that runs in evaluation."""
    return layer.cell if layer.regularization is None else layer.regularization.choose_cell(layer.cell, False)


def versions(weights: Any) -> list[int]:
    """How often torch has counted a change of each; nothing where it does not count."""
    try:
        return [w._version for w in weights]
    except RuntimeError:  # made in inference mode
        return []


def is_packable(weight: Any) -> bool:
    """Whether it is a parameter whose memory holds its numbers in order: not one that is computed at each look."""
    return type(weight) is Parameter and weight.is_cpu and weight.is_contiguous() and is_plain(weight)
