"""Recurrent layers: drop-ins for torch.nn's, layers over the other cells, and `Recurrent` over any cell.

lstm.py            LSTM; gru.py: GRU; rnn.py: RNN
peephole.py        PeepholeLSTM; coupled.py: CoupledLSTM; layer_norm_lstm.py: LayerNormLSTM; lstm1997.py: LSTM1997
minimal.py         MinGRU, MinLSTM
slstm.py           SLSTM; heads.py: units that are fed back to their own head only
mlstm/             MLSTM: a matrix of memory a head

arguments.py       the arguments of all layers, described once
options.py         our options, beside torch's; the error for an unknown one
parameters.py      options, names and shapes; rnnbase_names.py: private names of torch.nn's that programs use
initialization.py  what the parameters are at first
torch_contract.py  what input and states are expected to be; checks.py: what is refused
sequences.py       lengths, offsets, resets, initial states
regularization.py  random masks in training
recurrent.py       forward: inputs in every form, and who computes
stack.py           layers, directions and dropout, on our kernels; states and gates of every step
directions.py      the outputs of both directions, side by side
torch_backend.py   the same by torch's own functions, and when
onnx_nodes.py      the same as nodes of ONNX
per_sample.py      gradients of each row by torch's ExpandedWeights
torch_layers.py    torch.nn's layer with our parameters, and back
autocast.py        the same under torch.autocast to bfloat16
fx_graph.py        a layer as one node of a graph of torch.fx

streaming/         a sequence that comes step by step: start, step, block, State
"""

from carrousel.layers.coupled import CoupledLSTM
from carrousel.layers.gru import GRU
from carrousel.layers.layer_norm_lstm import LayerNormLSTM
from carrousel.layers.lstm import LSTM
from carrousel.layers.lstm1997 import LSTM1997
from carrousel.layers.minimal import MinGRU, MinLSTM
from carrousel.layers.mlstm import MLSTM
from carrousel.layers.peephole import PeepholeLSTM
from carrousel.layers.recurrent import Recurrent
from carrousel.layers.rnn import RNN
from carrousel.layers.slstm import SLSTM
from carrousel.layers.streaming.state import State

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
