"""Recurrent layers: drop-ins for torch.nn's, layers over the other cells, and `Recurrent` over any cell.

drop_ins.py        LSTM GRU RNN PeepholeLSTM CoupledLSTM LayerNormLSTM LSTM1997
minimal.py         MinGRU MinLSTM
xlstm/             SLSTM MLSTM

options.py         our options, beside torch's
parameters.py      options, names and shapes; rnnbase_names.py: private names of torch.nn's that programs use
initial_values.py  what the parameters are at first
expected.py        what input and states are expected to be; checks.py: what is refused
sequences.py       lengths, offsets, resets, initial states
regularization.py  random masks in training
recurrent.py       forward: inputs in every form, and who computes
stack.py           layers, directions and dropout, on our kernels; directions.py: the outputs of both
torch_functions.py the same by torch's own functions, and when
onnx_nodes.py      the same as nodes of ONNX
per_sample.py      gradients of each row by torch's ExpandedWeights
torch_layers.py    torch.nn's layer with our parameters, and back
autocast.py        the same under torch.autocast to bfloat16
inside.py          states and gates of every step
fx_graph.py        a layer as one node of a graph of torch.fx

streaming/         a sequence that comes step by step: start, step, block, State
"""

from carrousel.layers.drop_ins import GRU, LSTM, LSTM1997, RNN, CoupledLSTM, LayerNormLSTM, PeepholeLSTM
from carrousel.layers.minimal import MinGRU, MinLSTM
from carrousel.layers.recurrent import Recurrent
from carrousel.layers.streaming.state import State
from carrousel.layers.xlstm.mlstm import MLSTM
from carrousel.layers.xlstm.slstm import SLSTM

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
