"""Measurements beside all rivals: `python -m bench`, from the root of the repository. Not installed with the package.

cells.py        every kind of layer beside our plain LSTM
options.py      resets, ragged batches, states and gates, beside the plain call
autocast.py     the LSTM under autocast to bfloat16
mlstm.py        MLSTM chunk by chunk beside step by step
custom_cell.py  a custom cell beside itself in torch operations
memory.py       peak memory, each side in a process of its own
lstm1997.py     a network step of the 1997 rule
streaming.py    carrousel bench streaming, with ONNX Runtime
ragged.py       training on sequences of any length, beside torch's packed sequences
translate.py    training a translator for the same minutes
output_layer.py linear and cross entropy of many classes in one
start_up.py     how long it takes until a command does something
scaling/        how time and memory grow with the sizes, into docs/scaling.md
rivals/         other ways to compute the same: torch operations, JAX, ONNX Runtime
clients.py      client libraries before and after carrousel.swap (python -m bench.clients); client_models/: their models

A measurement, the clock, the shapes and the tables are those of carrousel/bench.
"""
