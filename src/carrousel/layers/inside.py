"""What a layer shows of its inside: states and gates of every step, by name.

Letters: T time, B batch, H hidden units, P the width of h, L layers, D directions.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from functools import cache
from typing import Any

from torch import Tensor


@cache
def inside_type(names: tuple[str, ...]) -> Any:
    """The type with these fields; each field is a tuple of L*D tensors, in the places that layers have in hx."""
    return namedtuple("Inside", names)  # type: ignore[misc]  # the fields are the cell's


def gather(shown: list[dict[str, Tensor]]) -> Any:
    """What each layer and direction shows by name [L*D], as names with what each layer and direction shows."""
    return inside_type(tuple(shown[0]))(*zip(*[of_place.values() for of_place in shown]))


def each(inside: Any, function: Callable[[Tensor], Any]) -> Any:
    """The function of every tensor inside; None stays None."""
    return inside if inside is None else type(inside)(*[tuple(map(function, tensors)) for tensors in inside])
