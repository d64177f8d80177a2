"""Custom cells: carrousel.cell makes a layer from a function, and with compile=True a kernel.

layer.py      carrousel.cell, and the base class of its layers
fuse.py       a cell's kernel, or the reason why there is none
compiler.py   the machine's C++ compiler
cache.py      compiled libraries on disk
"""

from carrousel.custom_cell.layer import CustomLayer, cell

__all__ = ["CustomLayer", "cell"]
