"""A cell of one's own: carrousel.cell makes a layer of a function, and with compile=True a kernel.

layer.py      carrousel.cell, and the layers it makes
fuse.py       its kernel, or why there is none
compiler.py   the machine's compiler
cache.py      what it compiled, kept on disk
"""

from carrousel.custom_cell.layer import CustomLayer, cell

__all__ = ["CustomLayer", "cell"]
