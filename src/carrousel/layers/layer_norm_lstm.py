"""LayerNormLSTM: normalised pre-activations and cell state.

Letters: T time, B batch, I input, H hidden units, P the width of h (H, or proj_size), L layers, D directions.
"""

from carrousel.cells import ALL
from carrousel.layers.arguments import show_arguments
from carrousel.layers.lstm import LongShortTermMemory


@show_arguments
class LayerNormLSTM(LongShortTermMemory):
    """LSTM with layer normalisation, with torch.nn.LSTM's arguments, except proj_size, and its parameters.

    W x, R h and the new cell state, before its tanh, are normalised over all their elements: W x and R h over the 4*H
        of
    i f g o together, as in the paper, and not gate by gate as in TensorFlow. The variance gets 1e-5 added.

    The weights are those of `LSTM`, in blocks i f g o; the biases are added after the normalisation. After them, each
    layer has weight_ln_l{k} [10*H]: the gains of W x [4*H] and of R h [4*H], then the gain [H] and the bias [H] of the
    cell state. Gains start at 1, the bias at 0. hx is the tuple (h [L*D, B, H], c [L*D, B, H]).

    Args:
        proj_size: only 0: the cell normalises R h at its full width.

    Example:
        >>> import torch, carrousel
        >>> layer = carrousel.LayerNormLSTM(28, 256)
        >>> y, (h, c) = layer(torch.randn(35, 32, 28))  # [T, B, I]
        >>> y.shape, c.shape
        (torch.Size([35, 32, 256]), torch.Size([1, 32, 256]))

    Source: Ba, Kiros and Hinton (2016); equations and paper in `carrousel.cells.layer_norm_lstm`.
    """

    CELL = ALL["layer_norm_lstm"]
