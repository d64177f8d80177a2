"""Carrousel: recurrent networks whose cells are written once, as equations. This file is the table of contents."""

from importlib.metadata import PackageNotFoundError, version

from carrousel import odyssey
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
from carrousel.own import cell

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
]

try:
    __version__ = version("carrousel")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
