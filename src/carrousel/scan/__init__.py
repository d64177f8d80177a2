"""Any cell over a sequence in torch operations: the specification, slow and obviously right.

layout.py      how sequences lie in memory: dense, packed, ragged; resets
weights.py     the weights of one layer in one direction
noise.py       random masks: what their numbers are
probe.py       a step, tried on small tensors
gates.py       what a cell's rows are after their functions
rounded.py     matrix products of operands rounded to bfloat16, as under autocast
constant.py    functions that torch.compile calls and does not trace
recurrence.py  scan: the steps, one after the other
"""

from carrousel.scan.recurrence import scan
from carrousel.scan.weights import Weights

__all__ = ["Weights", "scan"]
