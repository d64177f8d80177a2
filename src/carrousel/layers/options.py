"""Our own options of all layers, by keyword after torch's arguments, named once: `Recurrent` says what they do.

And what is said of an option that a layer has not.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal, TypedDict


class LayerOptions(TypedDict, total=False):
    """What every layer takes besides torch's arguments."""

    initialise: Literal["torch", "orthogonal", "xlstm"]
    forget_bias: float | None
    longest_lag: float | None
    learn_initial: bool
    memory: Literal["full", "low"]


class NoOptions(TypedDict):
    """What is left once a layer has taken its options: for type checkers nothing, and refused where there is more."""


# The options that some layers have, and which.
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
    """Raise TypeError if there is an option that the layer has not, with the layers that have it, or the nearest."""
    for name, value in given.items():
        known = options_of(layer)
        if name in OF_SOME:
            advice = f"{OF_SOME[name]}: leave it out"
        elif near := get_close_matches(name, [*known, *OF_SOME], 1):
            advice = f"did you mean {near[0]}?"
        else:
            advice = f"its options are {', '.join(known)}"
        raise TypeError(f"{layer.__name__} has no option {name} (given: {name}={reprlib.repr(value)}); {advice}")


def options_of(layer: type) -> list[str]:
    """The names of the arguments of a layer's constructor, without the cell, in the order of its signature."""
    ours = next(c for c in layer.__mro__ if "__init__" in vars(c) and c.__module__.startswith("carrousel."))
    return [name for name in inspect.signature(ours).parameters if name != "cell"]
