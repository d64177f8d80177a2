"""Recurrent layers: drop-ins for torch.nn's, layers over the other cells, and `Recurrent` over any cell.

parameters.py   options, names, shapes and initial values
recurrent.py    forward: inputs in every form, and who computes
streaming.py    start, step and block: a sequence that comes step by step
state.py        State: what a stream carries
stack.py        layers, directions and dropout, on our kernels
native.py       the same by torch's own functions, and when
inside.py       states and gates of every step
sequences.py    lengths, offsets, resets, initial states
checks.py       what is refused
drop_ins.py     LSTM GRU RNN PeepholeLSTM LSTM1997
"""

from carrousel.layers.drop_ins import GRU, LSTM, LSTM1997, RNN, PeepholeLSTM
from carrousel.layers.recurrent import Recurrent
from carrousel.layers.state import State

__all__ = ["GRU", "LSTM", "LSTM1997", "RNN", "PeepholeLSTM", "Recurrent", "State"]
