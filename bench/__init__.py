"""Measurements beside rivals: `python -m bench`, from the root of the repository. Not installed with the package.

cells.py        every kind of layer beside our plain LSTM
options.py      resets, lengths, states and gates, beside the plain call
autocast.py     the LSTM under autocast to bfloat16
mlstm.py        mLSTM chunk by chunk beside step by step
custom_cell.py  a custom cell beside our LSTM
memory.py       peak memory, each side in a process of its own
lstm1997.py     a network step of the 1997 rule
rivals/         other ways to compute the same: torch operations, JAX, ONNX Runtime
clients.py      client libraries before and after carrousel.swap; client_models/: their models
"""
