"""A graph of gradients costs each call once, however many calls are chained: operations are counted, not seconds."""

from __future__ import annotations

from functools import partial

import pytest
from composed_layers import first_order, inputs_of, kinds, make
from torch.autograd.profiler import profile


def operations(layer, inputs, calls: int, order: int) -> int:
    """How many operations of torch the gradients of a chain of calls take, with a graph of them; or theirs."""
    leaves = inputs.leaves(layer)
    with profile() as watched:
        hx = inputs.hx
        for _ in range(calls):
            y, hx = layer(inputs.x, hx)
        slopes = first_order([y, hx], leaves, create_graph=True)
        if order == 2:
            first_order(list(slopes.values()), leaves)
    return len(watched.function_events)


@pytest.mark.parametrize("order", [1, 2])
@kinds("GRU", "PeepholeLSTM", "own_compiled")
def test_work_is_linear_in_the_calls(kind, order):
    """Beside the growth from two calls to three, with one in reserve; twelve last, for the work may double."""
    layer = make(kind)
    count = partial(operations, layer, inputs_of(layer, T=1), order=order)
    two, three = count(2), count(3)
    for calls in (5, 12) if order == 1 else (5,):
        assert count(calls) <= three + (calls - 2) * (three - two), f"{calls} calls, beside {two} and {three}"
