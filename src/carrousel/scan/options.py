"""What a call asks for, besides the outputs and the final states."""

from __future__ import annotations

from typing import Any, NamedTuple

from carrousel.scan.masks import Masks

MEMORY = ("full", "low")


class Options(NamedTuple):
    """What a call of `carrousel.scan.scan` or `carrousel.fused.fused` asks for.

    Args:
        states: return the states of every step. Default False.
        gates: return the gates of every step: the rows after their functions, such as i = sigmoid(a_i). Default False.
        memory: what a kernel saves for its backward pass: "full", what makes it fastest; "low", the states only: the
            backward pass computes the rest again, to the same bits. `scan` ignores it. Default "full".
        bfloat16: round the operands of all matrix products, forward and backward, to bfloat16. Default False.
        masks: the random masks. Default: nothing is sampled.
    """

    states: bool = False
    gates: bool = False
    memory: str = "full"
    bfloat16: bool = False
    masks: Masks | None = None

    @property
    def asks_inside(self) -> bool:
        """Whether states or gates of every step are returned."""
        return self.states or self.gates


PLAIN = Options()


def check_memory(memory: Any) -> None:
    """Raise ValueError unless it is "full" or "low"."""
    if not isinstance(memory, str) or memory not in MEMORY:
        raise ValueError(f"memory={memory!r} is not known: choose one of {MEMORY}")
