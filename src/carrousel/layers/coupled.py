"""LSTM with coupled gates (CIFG) as a layer.

Letters: H hidden units, P the width of h (H, or proj_size), L layers, D directions.
"""

from carrousel.cells import ALL
from carrousel.layers.lstm import LongShortTermMemory


class CoupledLSTM(LongShortTermMemory):
    """LSTM whose forget gate is one minus its input gate (CIFG), with torch.nn.LSTM's arguments.

    hx is (h [L*D, B, P], c [L*D, B, H]); the weights have three blocks, i g o: weight_ih_l{k} [3*H, I]. Arguments,
    shapes and what is raised: `Recurrent`. Equations and paper: `carrousel.cells.coupled`.
    """

    CELL = ALL["coupled"]
