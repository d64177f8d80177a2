"""Our own options of all layers, by keyword after torch's arguments, named once: `Recurrent` says what they do."""

from __future__ import annotations

from typing import Literal, TypedDict


class Options(TypedDict, total=False):
    """What every layer takes besides torch's arguments."""

    initialise: Literal["torch", "orthogonal", "xlstm"]
    forget_bias: float | None
    longest_lag: float | None
    learn_initial: bool
    memory: Literal["full", "low"]
