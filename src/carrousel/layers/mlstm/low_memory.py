"""memory="low" of an mLSTM: a chunk at a time, of which the memory before it is all that is kept for a backward pass.

torch.utils.checkpoint would compute a chunk once more from what has been changed in place meanwhile, and say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def recomputed(run: Callable[..., Any], tensors: Sequence[Tensor | None], *arguments: Any) -> Any:
    """run(*arguments), of which nothing is kept: a backward pass computes it once more.

    Under torch.compile, which plans memory itself, and within torch.func's transforms, which can not, it is kept.

    Args:
        run: what computes.
        tensors: those that it reads; to change one in place before the backward pass is an error then.
        arguments: of run.
    """
    transformed = torch._C._are_functorch_transforms_active()  # type: ignore[attr-defined]
    if not torch.is_grad_enabled() or torch.compiler.is_compiling() or transformed:
        return run(*arguments)
    read = [tensor for tensor in tensors if tensor is not None and not tensor.is_inference()]
    versions = [tensor._version for tensor in read]

    def unchanged(*arguments: Any) -> Any:
        if versions != [tensor._version for tensor in read]:
            raise RuntimeError(
                "MLSTM with memory='low' computes its inside once more in the backward pass, and its input, a weight "
                "or a state was modified by an inplace operation since: clone it before, or take memory='full'"
            )
        return run(*arguments)

    return checkpoint(unchanged, *arguments, use_reentrant=False, preserve_rng_state=False)
