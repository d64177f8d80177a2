"""Per-sample gradients by torch's ExpandedWeights, which Opacus and torch's call_for_per_sample_grads work with.

Such a weight knows a few of torch's functions and refuses all others, reads of most attributes too. Of a layer's work
it knows torch's own functions for LSTM, GRU and RNN: they compute the layer, and nothing else looks at the weights.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from carrousel.layers.torch_backend import run_torch
from carrousel.scan.rows import Layout

if TYPE_CHECKING:
    from carrousel.layers.parameters import Parameters
    from carrousel.layers.recurrent import Recurrent

MODULE = "torch.nn.utils._expanded_weights.expanded_weights_impl"  # of the class; `import torch` does not import it


# A plain call has no time to ask: reading an attribute of such a weight raises, and then this is asked.
def has_expanded_weights(layer: Parameters) -> bool:
    """Whether one of the layer's parameters is an ExpandedWeight."""
    if torch.compiler.is_compiling():
        return False
    module = sys.modules.get(MODULE)
    return module is not None and any(type(p) is module.ExpandedWeight for p in layer._parameters.values())


def run_per_sample(layer: Recurrent[Any], x: Tensor, hx: Any, layout: Layout, initial: Any) -> tuple[Any, ...]:
    """What `Recurrent._run` returns, by torch's own function.

    Args:
        layer: has ExpandedWeights.
        x, hx, layout, initial: as `Recurrent._run` takes them.

    Raises:
        RuntimeError: torch has no function for what the call asks for.
    """
    refuse_other_layers(layer, layout, initial)
    weights = [[layer._weights(names) for names in of_layer] for of_layer in layer._fields]
    layer._check_call(x, hx, weights[0][0].W, layout)
    states = None if hx is None else tuple(hx) if layer._many_states else (hx,)
    with without_onednn():  # of whose LSTM such a weight knows nothing
        y, finals = run_torch(layer, x, layer._in_full(x, states, layout), weights, layout.batch_sizes)
    return y, finals if layer._many_states else finals[0], None


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


def refuse_other_layers(layer: Parameters, layout: Layout, initial: Any) -> None:
    """Raise RuntimeError where torch's functions do not compute what the layer does."""
    is_plain = layout.resets is None and not layout.is_ragged and not layout.shows and initial is None
    if layer._standard and not layer.regularization and not layer.learn_initial and is_plain:
        return
    raise RuntimeError(
        f"carrousel.{layer._get_name()}: ExpandedWeights give per-sample gradients of what torch's LSTM, GRU and RNN "
        "compute: without random masks, learn_initial, lengths, offsets, resets, return_states and return_gates. For "
        "every layer torch.func does: vmap(grad(loss), in_dims=(None, 0)), where loss uses torch.func.functional_call"
    )
