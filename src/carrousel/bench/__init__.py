"""Speed and memory beside torch.nn's, always measured together in one run: `carrousel bench`.

shapes.py    what is measured, and what it should reach
clock.py     alternating samples, medians
layers.py    the layers, forward and with gradients
cells.py     every kind of layer beside our plain LSTM; loops.py: regularised ones in torch operations
mlstm.py     mLSTM chunk by chunk beside step by step
own.py       a cell of one's own beside our LSTM
options.py   resets, lengths, states and gates, beside the plain call
memory.py    peak memory, each side in a process of its own
text.py      tokens a second of a character model
lstm1997.py  a network step of the 1997 rule; lstm1997_torch.py, lstm1997_jax.py: the same rule there
streaming.py a step and a block of a stream; streaming_onnx.py: the same in ONNX Runtime
table.py     the results for people; the JSON is for machines
command.py   the command line
"""
