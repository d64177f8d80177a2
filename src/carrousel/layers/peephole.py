"""PeepholeLSTM: gates that see the cell state.

Letters: T time, B batch, I input, H hidden units, P the width of h (H, or proj_size), L layers, D directions.
"""

from carrousel.cells import ALL
from carrousel.layers.arguments import show_arguments
from carrousel.layers.lstm import LongShortTermMemory


@show_arguments
class PeepholeLSTM(LongShortTermMemory):
    """LSTM whose gates see the cell state c, with torch.nn.LSTM's arguments and parameters.

    The weights are those of `LSTM`, in blocks i f g o. After them, each layer has weight_ch_l{k} [3*H]: the peepholes
    of i, f and o. hx is the tuple (h [L*D, B, P], c [L*D, B, H]).

    Example:
        >>> import torch, carrousel
        >>> layer = carrousel.PeepholeLSTM(28, 256)
        >>> y, (h, c) = layer(torch.randn(35, 32, 28))  # [T, B, I]
        >>> y.shape, c.shape
        (torch.Size([35, 32, 256]), torch.Size([1, 32, 256]))

    Source: equations and paper in `carrousel.cells.peephole`.
    """

    CELL = ALL["peephole"]
