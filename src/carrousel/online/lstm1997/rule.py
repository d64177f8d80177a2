"""The settings of the truncated learning rule."""

from __future__ import annotations

from typing import NamedTuple

from carrousel.online.checks import MAX_FLOAT32, is_number

UPDATES = ("sequence", "step")
ERRORS = ("squared", "entropy")


class Rule(NamedTuple):
    """The learning rule's settings, in the order in which the kernels take them."""

    rate: float  # alpha
    learns: bool  # False: the weights stay as they are
    each_step: bool  # the weights change at each step with a target, not at `reset`
    entropy: bool  # the output units' error leaves f' out


def check_rule(rate: float, update: str, error: str) -> Rule:
    """The rule with these settings.

    Raises:
        ValueError: an invalid setting; the message names it and its value.
    """
    if not is_number(rate) or not 0 <= rate <= MAX_FLOAT32:
        raise ValueError(f"rate={rate!r} must be a number of 0 or more, up to {MAX_FLOAT32:.2g}")
    if update not in UPDATES:
        raise ValueError(f'update={update!r} must be "sequence" or "step"')
    if error not in ERRORS:
        raise ValueError(f'error={error!r} must be "squared" or "entropy"')
    return Rule(float(rate), True, update == "step", error == "entropy")
