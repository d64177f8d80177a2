"""Recurrent layers: replacements for torch.nn's, layers over other cells, and `Recurrent` over any cell.

lstm.py            LSTM; gru.py: GRU; rnn.py: RNN
peephole.py        PeepholeLSTM; coupled.py: CoupledLSTM; layer_norm_lstm.py: LayerNormLSTM; lstm1997.py: LSTM1997
minimal.py         MinGRU, MinLSTM
slstm.py           SLSTM; heads.py: units fed back to their own head only
mlstm/             MLSTM: a matrix of memory a head

arguments.py       the arguments of all layers, described once
options.py         our options for type checkers; the error for an unknown one
parameters.py      options, names and shapes of the parameters
rnnbase_names.py   torch.nn.RNNBase's attributes, private ones too
initialization.py  initial values of the parameters
torch_contract.py  torch.nn's methods that check input and states; checks.py: the checks and messages
sequences.py       lengths, offsets, resets, initial states
regularization.py  random masks in training
recurrent.py       forward: inputs in every form, and who runs them
short_call.py      calls without gradients and options, by the shortest way
stack.py           layers, directions and dropout, on our kernels; states and gates of every step
directions.py      both directions' outputs in one tensor
torch_backend.py   torch's own functions, and which calls they run
onnx_nodes.py      layers as nodes of ONNX
per_sample.py      per-sample gradients by torch's ExpandedWeights
torch_layers.py    torch.nn's layer with our parameters, and back
autocast.py        layers under torch.autocast to bfloat16
fx_graph.py        a layer as one node of a torch.fx graph

streaming/         sequences that arrive step by step: start, step, block, State
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
