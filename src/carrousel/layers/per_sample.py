"""Per-sample gradients by torch's ExpandedWeights, which Opacus and torch's call_for_per_sample_grads use.

Such a weight supports a few of torch's functions and raises in all others, and when most attributes are read. It
supports torch's own LSTM, GRU and RNN: they run the layer, and nothing else reads the weights.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

MODULE = (
    "torch.nn.utils._expanded_weights.expanded_weights_impl"  # where the class is; `import torch` does not import it
)


# Called only after reading an attribute of a weight has raised: a plain call has no time for it.
def has_expanded_weights(parameters: Iterable[object]) -> bool:
    """Whether one of a layer's parameters is an ExpandedWeight."""
    if torch.compiler.is_compiling():
        return False
    module = sys.modules.get(MODULE)
    return module is not None and any(type(p) is module.ExpandedWeight for p in parameters)


@contextmanager
def without_onednn() -> Iterator[None]:
    """Let torch compute without oneDNN, whose LSTM does not support ExpandedWeights.

    torch.backends.mkldnn.flags would set other flags too, with a warning; torch.backends.mkldnn.enabled may be
    read-only (torch.backends.disable_global_flags).
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
        "compute: without random masks, learn_initial, lengths, offsets, resets, return_states and return_gates. "
        "torch.func works for every layer: vmap(grad(loss), in_dims=(None, 0)), where loss uses "
        "torch.func.functional_call"
    )
