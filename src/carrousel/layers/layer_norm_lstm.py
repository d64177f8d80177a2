"""LSTM with layer normalisation as a layer.

Letters: H hidden units, P the width of h (H, or proj_size), L layers, D directions.
"""

from carrousel.cells import ALL
from carrousel.layers.lstm import LongShortTermMemory


class LayerNormLSTM(LongShortTermMemory):
    """LSTM with layer normalisation, with torch.nn.LSTM's arguments but proj_size, and its parameters.

    W x, R h and the new internal state on its way out are normalised, each over all its numbers: the first two over
    the 4*H of i f g o together, as the paper has it, and not gate by gate as TensorFlow does; 1e-5 is added to the
    variance. Gains start at 1, the bias at 0.

    hx is (h [L*D, B, H], c [L*D, B, H]); the blocks of the weights are i f g o. After each layer's weights with torch's
    names stands weight_ln_l{k} [10*H]: the gains of W x [4*H] and of R h [4*H], and the gain [H] and the bias [H] of
    the normalised state. bias_ih and bias_hh are added after the normalisation. Arguments, shapes and what is raised:
    `Recurrent`, but for proj_size, which is refused. Equations and paper (Ba, Kiros & Hinton 2016):
    `carrousel.cells.layer_norm_lstm`.
    """

    CELL = ALL["layer_norm_lstm"]
