"""Speed and memory beside torch.nn's, always measured together in one run: `carrousel bench`.

command.py    the command line; arguments.py: its arguments; output.py: a bar, tables, JSON
shapes.py     what is measured, and what it should reach
clock.py      alternating samples, medians; numbers of threads
table.py      what tables are made of, in the terminal and in Markdown; the machine in a line
rivals/       other ways to compute the same: torch operations, JAX, ONNX Runtime

Each of the others is a measurement: what is run, a row of results, and how rows are told.

layers.py     the layers, forward and with gradients
cells.py      every kind of layer beside our plain LSTM
options.py    resets, lengths, states and gates, beside the plain call
autocast.py   the LSTM under autocast to bfloat16
mlstm.py      mLSTM chunk by chunk beside step by step
own.py        a cell of one's own beside our LSTM
memory.py     peak memory, each side in a process of its own
text.py       tokens a second of a character model
lstm1997.py   a network step of the 1997 rule
streaming.py  a step and a block of a stream
"""
