"""Private names of torch.nn.RNNBase: programs that initialise or tie weights use them.

torch.nn keeps a list of the weights beside the parameters; our layers look their weights up by name at each use.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from carrousel.cells import Cell
from carrousel.layers.regularization import Regularization


class RNNBaseNames(nn.Module):
    """The attributes of torch.nn.RNNBase; the lists of weights are made from the parameters at each use."""

    cell: Cell
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int
    learn_initial: bool
    regularization: Regularization | None

    _standard: bool  # whether torch computes this cell
    _all_weights: list[list[str]]  # [L*D] the names of the parameters of each layer and direction

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if issubclass(cls, nn.RNNBase):
            ours = next(of.__name__ for of in cls.__mro__ if of.__module__.startswith("carrousel."))
            raise TypeError(
                f"class {cls.__name__} is derived from both torch.nn.RNNBase and carrousel.{ours}, and each makes the "
                "parameters: derive it from carrousel.Recurrent instead of torch.nn.RNNBase"
            )

    @property
    def mode(self) -> str:
        """torch.nn's name of the cell, LSTM, GRU, RNN_TANH or RNN_RELU; for other cells, theirs in capitals."""
        return self.cell.name.upper()

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer and direction [L*D], in their order."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Tensor]:
        return [weight for weights in self.all_weights for weight in weights]

    @_flat_weights.setter
    def _flat_weights(self, weights: Sequence[Any]) -> None:
        for name, weight in zip(self._flat_weights_names, weights, strict=True):
            setattr(self, name, weight)

    @property
    def _flat_weight_refs(self) -> list[weakref.ref[Tensor]]:
        return [weakref.ref(weight) for weight in self._flat_weights]

    def _weights_have_changed(self) -> bool:
        return False  # there is no list that could be out of date

    def _init_flat_weights(self) -> None:
        self.flatten_parameters()

    def _update_flat_weights(self) -> None:
        pass

    def flatten_parameters(self) -> None:
        """Move the weights into one block of memory, if that makes a difference."""
