"""Per-sample gradients by torch's ExpandedWeights, which Opacus and torch's call_for_per_sample_grads work with.

Such a weight knows a few of torch's functions and refuses all others, reads of most attributes too. Of a layer's work
it knows torch's own functions for LSTM, GRU and RNN: they compute the layer, and nothing else looks at the weights.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

MODULE = "torch.nn.utils._expanded_weights.expanded_weights_impl"  # of the class; `import torch` does not import it


# A plain call has no time to ask: reading an attribute of such a weight raises, and then this is asked.
def has_expanded_weights(parameters: Iterable[object]) -> bool:
    """Whether one of a layer's parameters is an ExpandedWeight."""
    if torch.compiler.is_compiling():
        return False
    module = sys.modules.get(MODULE)
    return module is not None and any(type(p) is module.ExpandedWeight for p in parameters)


@contextmanager
def without_onednn() -> Iterator[None]:
    """Let torch compute without oneDNN.

    torch.backends.mkldnn.flags would set other flags too, and warn of one; torch.backends.mkldnn.enabled may be closed
    to assignments (torch.backends.disable_global_flags).
    """
    before = torch._C._get_mkldnn_enabled()  # type: ignore[attr-defined]
    torch._C._set_mkldnn_enabled(False)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)  # type: ignore[attr-defined]


def describe_refusal(layer: str) -> str:
    """The error message for a layer, or a call, with ExpandedWeights that torch's functions do not compute."""
    return (
        f"carrousel.{layer}: ExpandedWeights give per-sample gradients of what torch's LSTM, GRU and RNN "
        "compute: without random masks, learn_initial, lengths, offsets, resets, return_states and return_gates. For "
        "every layer torch.func does: vmap(grad(loss), in_dims=(None, 0)), where loss uses torch.func.functional_call"
    )
