"""Any cell over a sequence in torch operations: the specification, slow and obviously right.

rows.py        where the rows of a batch lie: dense, packed, ragged; resets
options.py     what a call asks for
weights.py     the weights of one layer in one direction; the checks of a call
masks.py       random masks: the definition of their numbers
try_step.py    tries a step on small tensors
gates.py       the gates of a cell
bfloat16.py    matrix products of operands rounded to bfloat16, as under autocast
constant.py    functions that torch.compile calls instead of tracing
recurrence.py  scan: one step after another
"""

from carrousel.scan.options import Options
from carrousel.scan.recurrence import scan
from carrousel.scan.rows import Rows
from carrousel.scan.weights import Weights

__all__ = ["Options", "Rows", "Weights", "scan"]
