"""MLSTM: a matrix of memory a head, learned chunk by chunk, streamed step by step.

layer.py           MLSTM
initialization.py  its parameters at first, and options that it refuses
memory.py          the memory, and a step of it
chunks.py          the same numbers chunk by chunk
parts.py           resets among the chunks
ragged.py          rows of any lengths, cut into chunks
inside.py          the memory after every step, and the gates
low_memory.py      memory="low": chunks that are not kept
dense_and_ragged.py  how a layer goes through a sequence: dense or ragged
stack.py           layers, directions and dropout
"""

from carrousel.layers.mlstm.layer import MLSTM

__all__ = ["MLSTM"]
