"""MLSTM: a matrix of memory a head, learned chunk by chunk, streamed step by step.

layer.py     MLSTM
memory.py    the memory, a step of it, and the initial values of the weights
chunks.py    the same numbers chunk by chunk
sequence.py  layers and directions over a sequence, of rows of any lengths
"""

from carrousel.layers.mlstm.layer import MLSTM

__all__ = ["MLSTM"]
