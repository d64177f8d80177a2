"""Any cell over a sequence by fused kernel: the same numbers as `carrousel.scan`, sooner.

kernels.py    the compiled kernels: which there are; the only importer of the extension
plan.py       what a call of one comes to by its sizes
passes.py     their forward and backward pass over tensors
autograd.py   the two in autograd
operators.py  the two as custom operators of torch, for what traces
dispatch.py   fused: by kernel, by operator, or by `scan`
"""

from carrousel.fused.autograd import copied_when_written, is_transformed
from carrousel.fused.kernels import instruction_set, instruction_sets, is_plain, resolved, use_instruction_set
from carrousel.fused.run import draw_matrix, fused, fused_in, has_kernel, is_eager, refuse_onnx, refuse_trace
from carrousel.fused.torch_compile import OPS

__all__ = [
    "OPS",
    "copied_when_written",
    "draw_matrix",
    "fused",
    "fused_in",
    "has_kernel",
    "instruction_set",
    "instruction_sets",
    "is_eager",
    "is_plain",
    "is_transformed",
    "refuse_onnx",
    "refuse_trace",
    "resolved",
    "use_instruction_set",
]
