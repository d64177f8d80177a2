"""The options of all layers beyond torch's, for type checkers, and the error for an unknown option."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal, TypedDict


class LayerOptions(TypedDict, total=False):
    """The keyword arguments of every layer beyond torch's: `carrousel.layers.arguments` describes them."""

    initialise: Literal["torch", "orthogonal", "xlstm"]
    forget_bias: float | None
    longest_lag: float | None
    learn_initial: bool
    memory: Literal["full", "low"]


class NoOptions(TypedDict):
    """The options of no layer: none for type checkers; at run time `refuse_unknown` names them."""


# Options of some layers only, and which.
MASKED = "LSTM and GRU have it"
OF_SOME = {
    "recurrent_dropout": MASKED,
    "variational_dropout": MASKED,
    "zoneout": MASKED,
    "drop_connect": MASKED,
    "num_heads": "SLSTM and MLSTM have it",
    "chunk_size": "MLSTM has it",
    "nonlinearity": "RNN has it",
    "compile": "the layers of carrousel.cell have it",
}


def refuse_unknown(layer: type, given: Mapping[str, object]) -> None:
    """Raise TypeError for an option that the layer does not have: who has it, or the most similar name."""
    for name, value in given.items():
        known = list_arguments(layer)
        if name in OF_SOME:
            advice = f"{OF_SOME[name]}: leave it out"
        elif near := get_close_matches(name, [*known, *OF_SOME], 1):
            advice = f"did you mean {near[0]}?"
        else:
            advice = f"its options are {', '.join(known)}"
        raise TypeError(f"{layer.__name__} has no option {name} (given: {name}={reprlib.repr(value)}); {advice}")


def list_arguments(layer: type) -> list[str]:
    """The names of the arguments of a layer's constructor, without the cell, in the order of its signature."""
    ours = next(c for c in layer.__mro__ if "__init__" in vars(c) and c.__module__.startswith("carrousel."))
    return [name for name in inspect.signature(ours).parameters if name != "cell"]
