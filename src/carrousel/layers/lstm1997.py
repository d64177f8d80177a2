"""LSTM1997: the first LSTM, without a forget gate.

Letters: T time, B batch, I input, H hidden units, P the width of h (H, or proj_size), L layers, D directions.
"""

from carrousel.cells import ALL
from carrousel.layers.arguments import show_arguments
from carrousel.layers.lstm import LongShortTermMemory


@show_arguments
class LSTM1997(LongShortTermMemory):
    """The LSTM of 1997, which has no forget gate, with torch.nn.LSTM's arguments.

    The weights are those of `LSTM`, with three blocks, i g o: weight_ih_l{k} [3*H, I]. hx is the tuple
    (h [L*D, B, P], c [L*D, B, H]).

    Example:
        >>> import torch, carrousel
        >>> layer = carrousel.LSTM1997(28, 256)
        >>> y, (h, c) = layer(torch.randn(35, 32, 28))  # [T, B, I]
        >>> y.shape, c.shape
        (torch.Size([35, 32, 256]), torch.Size([1, 32, 256]))

    Source: equations and paper in `carrousel.cells.lstm1997`.
    """

    CELL = ALL["lstm1997"]
