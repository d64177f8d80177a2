"""Any cell over a sequence by a fused kernel: the same results as `carrousel.scan`, faster.

kernels.py        the compiled kernels: which there are; the only importer of the extension
plan.py           the sizes and the memory layout of a call, cached
call.py           a call of a kernel, forward and backward
autograd.py       the two in autograd
torch_compile.py  the two as custom operators of torch, for what is traced
run.py            fused: runs the kernel, the operator or `scan`
output_layer.py   the output layer and its loss
"""

from carrousel.fused.autograd import copied_when_written, is_transformed
from carrousel.fused.kernels import instruction_set, instruction_sets, is_plain, resolve, use_instruction_set
from carrousel.fused.run import fused, has_kernel, is_eager, refuse_onnx, refuse_trace, sample_matrix
from carrousel.fused.torch_compile import OPS

__all__ = [
    "OPS",
    "copied_when_written",
    "fused",
    "has_kernel",
    "instruction_set",
    "instruction_sets",
    "is_eager",
    "is_plain",
    "is_transformed",
    "refuse_onnx",
    "refuse_trace",
    "resolve",
    "sample_matrix",
    "use_instruction_set",
]
