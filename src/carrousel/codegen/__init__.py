"""A cell's equations -> the C++ of its pointwise step, forward and backward.

functions.py   what the C++ can compute besides + - * /, and its derivatives
tape.py        a step runs once, and writes every operation down
trace.py       the tape as named values
derivative.py  the trace in reverse
kept.py        what forward keeps for backward
steps.py       one function of the C++: what it reads, computes and stores
pointwise.py   the functions of a cell whose units need nothing of each other
stages.py      the functions of a cell that is normalised
cpp.py         a function, printed
headers.py     a cell's header, and the list of all

The build runs the folder as a script, where neither torch nor the installed package is at hand:

    python src/carrousel/codegen OUT_DIR
"""

from carrousel.codegen.headers import header, listing, write
from carrousel.codegen.tape import CodegenError

__all__ = ["CodegenError", "header", "listing", "write"]
