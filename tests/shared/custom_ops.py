"""What the tests of torch.compile and of the custom ops share."""

from __future__ import annotations

import pytest
import torch
from functorch.compile import make_boxed_func
from sequences import run
from torch._dynamo.backends.common import aot_autograd
from torch.utils._pytree import tree_map_only

from carrousel.fused import OPS, fused

needs_ops = pytest.mark.skipif(not OPS, reason="built without kernels: there are no custom ops")


def compiled(backend="aot_eager"):
    """`fused`, compiled as one graph. aot_eager traces forward and backward and leaves out the C++ compiler."""
    return torch.compile(fused, fullgraph=True, backend=backend)


class Recorder(torch.fx.Interpreter):
    """Runs a graph and keeps the arguments of our ops: examples for opcheck, without a second list of signatures."""

    calls: list

    def call_function(self, target, args, kwargs):
        if isinstance(target, torch._ops.OpOverload) and target.namespace == "carrousel":
            self.calls.append((target, args, kwargs))
        return super().call_function(target, args, kwargs)


def calls_of(sequence):
    """Every call of our ops in the compiled forward and backward pass: (op, arguments, keyword arguments)."""
    calls = []

    def record(graph, example_inputs):
        recorder = Recorder(graph)
        recorder.calls = calls
        return make_boxed_func(recorder.run)

    backend = aot_autograd(fw_compiler=record, bw_compiler=record)
    run(compiled(backend), sequence, torch.float32)
    return calls


def detached(arguments, wants_grad):
    """Fresh tensors of the same numbers; those with a fraction ask for gradients if wanted."""
    return tree_map_only(
        torch.Tensor, lambda t: t.detach().clone().requires_grad_(wants_grad and t.is_floating_point()), arguments
    )


def check_ops(sequence):
    """opcheck on every call that a run of the sequence makes."""
    calls = calls_of(sequence)
    assert calls, "the compiled graph has no op of ours"
    for position, (op, args, kwargs) in enumerate(calls):
        first = position == 0  # the forward op: the one that autograd knows
        torch.library.opcheck(op, *detached((args, kwargs), first))
