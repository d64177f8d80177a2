"""The layers of xLSTM (Beck et al., 2024).

slstm.py          SLSTM: a scalar memory a unit, exponential gates
heads.py          units that are fed back to their own head only
mlstm.py          MLSTM: a matrix of memory a head
matrix_memory.py  that memory, and a step of it
matrix_initial.py its parameters at first, and options that it refuses
matrix_chunks.py  the same numbers chunk by chunk
matrix_parts.py   resets among the chunks
matrix_ragged.py  rows of any lengths, cut into chunks
matrix_inside.py  the memory after every step, and the gates
matrix_ways.py    how a layer goes through a sequence: dense or ragged
matrix_low.py     memory="low": chunks that are not kept
matrix_stack.py   layers, directions and dropout
"""
