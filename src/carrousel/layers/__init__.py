"""Recurrent layers: drop-ins for torch.nn's, layers over the other cells, and `Recurrent` over any cell.

options.py      our options, beside torch's
parameters.py   options, names and shapes
initial_values.py  what the parameters are at first
recurrent.py    forward: inputs in every form, and who computes
expected.py     what input and states are expected to be
streaming.py    start, step and block: a sequence that comes step by step
packed.py       a layer's weights, packed once for its streams
state.py        State: what a stream carries
stack.py        layers, directions and dropout, on our kernels
native.py       the same by torch's own functions, and when
inside.py       states and gates of every step
sequences.py    lengths, offsets, resets, initial states
checks.py       what is refused; stream_checks.py  what a stream refuses
regularization.py  random masks in training
drop_ins.py     LSTM GRU RNN PeepholeLSTM CoupledLSTM LayerNormLSTM LSTM1997
minimal.py      MinGRU MinLSTM
slstm.py        SLSTM, on heads.py
mlstm.py        MLSTM, on matrix_memory.py
"""

from carrousel.layers.drop_ins import GRU, LSTM, LSTM1997, RNN, CoupledLSTM, LayerNormLSTM, PeepholeLSTM
from carrousel.layers.minimal import MinGRU, MinLSTM
from carrousel.layers.mlstm import MLSTM
from carrousel.layers.recurrent import Recurrent
from carrousel.layers.slstm import SLSTM
from carrousel.layers.state import State

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
    "PeepholeLSTM",
    "Recurrent",
    "State",
]
