"""The weights of a layer, packed once for all of its streams."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from carrousel.cells import Cell
from carrousel.fused.kernels import STREAMS, is_plain
from carrousel.layers.parameters import Parameters
from carrousel.layers.regularization import make_masks
from carrousel.layers.streaming.state import State

STORAGES: dict[str | None, int] = {None: 0, "bfloat16": 1, "int8": 2}  # carrousel::Storage in sequence.hpp


class PackedWeights:
    """A layer's weights in the order in which the kernels read them, and how changes of them are detected.

    They are as they are, or rounded: to bfloat16, or to int8 with a scale for each row of a matrix. Biases and
    peepholes are never rounded.

    torch's version counter and the addresses of the tensors show most changes. Writes that bypass them (`.data`, NumPy,
    optimisers with fused=True) are detected by sampling: at each step the compiled stream compares a part of the
    weights with the packed ones.
    """

    alive: list[Tensor]
    classes: Any
    dtype: torch.dtype
    parameters: Any
    stack: Any

    __slots__ = ("alive", "classes", "dtype", "parameters", "stack")

    def __init__(self, layer: Parameters, sources: dict[str, Parameter], storage: str | None) -> None:
        with torch.no_grad():
            weights = [layer._weights(of_layer[0]) for of_layer in layer._fields]
        made = [w.detach() for of_layer in weights for w in of_layer if w is not None]
        # while they are alive no other tensor has their addresses
        self.alive = [*(w.detach() for w in sources.values()), *made]
        self.dtype = made[0].dtype
        self.classes = STREAMS[self.dtype]
        places = [w.data_ptr() for w in sources.values()]
        # tells whether the parameters have their addresses and versions still
        self.parameters = self.classes.Parameters(
            list(sources), list(sources.values()), places, read_versions(sources.values())
        )
        sizes = layer.hidden_size, layer.proj_size or layer.hidden_size
        cell, regularized = choose_evaluation_cell(layer), layer.regularization
        masks = (
            tuple(mask.otherwise for mask in make_masks(regularized, cell.name, False).of_cell) if regularized else ()
        )
        described = [(w.W.shape[1], *sizes, *[0 if t is None else t.data_ptr() for t in w], masks) for w in weights]
        read = {w.data_ptr() for w in made}
        beside = [(w.data_ptr(), w.numel()) for w in sources.values() if w.data_ptr() not in read]
        self.stack = self.classes.Stack(cell.name, described, beside, STORAGES[storage])

    def make_stream(self, state: State) -> Any:
        """Make a compiled stream that writes into a state."""
        return self.classes.Stream(
            self.stack, self.parameters, len(state), tuple([t.data_ptr() for t in state._tensors])
        )


def choose_evaluation_cell(layer: Parameters) -> Cell:
    """The cell that a layer runs in evaluation."""
    return layer.cell if layer.regularization is None else layer.regularization.choose_cell(layer.cell, False)


def read_versions(weights: Any) -> list[int]:
    """torch's version of each weight; [] in inference mode, where there are none."""
    try:
        return [w._version for w in weights]
    except RuntimeError:  # made in inference mode
        return []


def is_packable(weight: Any) -> bool:
    """Whether it is a plain parameter in contiguous memory, not one that is computed at each access."""
    return type(weight) is Parameter and weight.is_cpu and weight.is_contiguous() and is_plain(weight)
