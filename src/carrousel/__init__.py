"""Carrousel: recurrent networks whose cells are written once, as equations.

cells/            the equations, one paper a file
scan/             any cell over a sequence in torch operations: the specification
codegen/          a cell's C++, forward and backward, from its equations
fused/            any cell over a sequence by its kernel
layers/           LSTM, GRU, RNN and the layers that torch has not; Recurrent, State
custom_cell/      carrousel.cell: a layer of your own function; odyssey.py: eight that were made by it
swap.py           our layers in the place of torch.nn's in any model, and back; swap_report.py: what was replaced

language_model/   carrousel train text, sample, eval
online/           Learner: predict_one, learn_one
papers/           carrousel reproduce
bench/            carrousel bench
cli.py            the command line
checkpoint.py     what commands and layers share: files that are whole or not there, in the format of tensor_file.py;
                  interrupt.py: Ctrl-C as a request; ctrl_c.py: Ctrl-C before and after; memory.py: where it is out;
                  results.py: where results go; errors.py
"""

from carrousel import ctrl_c as ctrl_c  # first: torch takes a second, in which Ctrl-C would print a traceback

# isort: split
from importlib.metadata import PackageNotFoundError, version

from carrousel import odyssey
from carrousel.custom_cell import cell
from carrousel.errors import NoKernelWarning
from carrousel.layers import (
    GRU,
    LSTM,
    LSTM1997,
    MLSTM,
    RNN,
    SLSTM,
    CoupledLSTM,
    LayerNormLSTM,
    MinGRU,
    MinLSTM,
    PeepholeLSTM,
    Recurrent,
    State,
)
from carrousel.swap import swap, swap_back

__all__ = [
    "GRU",
    "LSTM",
    "LSTM1997",
    "MLSTM",
    "RNN",
    "SLSTM",
    "CoupledLSTM",
    "LayerNormLSTM",
    "MinGRU",
    "MinLSTM",
    "NoKernelWarning",
    "PeepholeLSTM",
    "Recurrent",
    "State",
    "cell",
    "odyssey",
    "swap",
    "swap_back",
]

try:
    __version__ = version("carrousel")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
