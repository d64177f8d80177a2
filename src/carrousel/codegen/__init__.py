"""A cell's equations -> the C++ of its pointwise step, forward and backward.

functions.py   what the C++ can compute besides + - * /, and its derivatives
tape.py        records the operations of one run of a step
trace.py       the tape as named values
derivative.py  the trace in reverse
saved.py       what forward saves for backward
steps.py       one C++ function: what it reads, computes and stores
pointwise.py   the functions of a cell without layer normalisation
stages.py      the functions of a cell with layer normalisation
cpp.py         a function, printed
headers.py     a cell's header, and the list of all

The build runs the folder as a script, without torch and without the installed package:

    python src/carrousel/codegen OUT_DIR
"""

from carrousel.codegen.headers import header, listing, write
from carrousel.codegen.tape import CodegenError

__all__ = ["CodegenError", "header", "listing", "write"]
