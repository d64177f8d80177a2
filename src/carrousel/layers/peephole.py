"""LSTM with peepholes as a layer.

Letters: H hidden units, P the width of h (H, or proj_size), L layers, D directions.
"""

from carrousel.cells import ALL
from carrousel.layers.lstm import LongShortTermMemory


class PeepholeLSTM(LongShortTermMemory):
    """LSTM whose gates see the internal state, with torch.nn.LSTM's arguments and its parameters.

    hx is (h [L*D, B, P], c [L*D, B, H]); the blocks of the weights are i f g o. After each layer's weights with torch's
    names stands weight_ch_l{k} [3*H], the peepholes of i f o. Arguments, shapes and what is raised: `Recurrent`.
    Equations and paper: `carrousel.cells.peephole`.
    """

    CELL = ALL["peephole"]
