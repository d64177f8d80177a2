"""The LSTM of 1997 as a layer.

Letters: H hidden units, P the width of h (H, or proj_size), L layers, D directions.
"""

from carrousel.cells import ALL
from carrousel.layers.lstm import LongShortTermMemory


class LSTM1997(LongShortTermMemory):
    """The LSTM of 1997, which never forgets, with torch.nn.LSTM's arguments.

    hx is (h [L*D, B, P], c [L*D, B, H]); the weights have three blocks, i g o: weight_ih_l{k} [3*H, I]. Arguments,
    shapes and what is raised: `Recurrent`. Equations and paper: `carrousel.cells.lstm1997`.
    """

    CELL = ALL["lstm1997"]
