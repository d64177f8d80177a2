"""LSTM and GRU with masks: recurrent dropout on the candidate, zoneout of states. Without a mask: LSTM and GRU.

    LSTM  c~ = sigmoid(f) c + sigmoid(i) (m_g tanh(g))    recurrent dropout without memory loss: m_g is 0 or 1 / (1 - p)
          c' = z_c c + (1 - z_c) c~                       zoneout: z_c and z_h are 1 or 0
          h' = z_h h + (1 - z_h) sigmoid(o) tanh(c~)      as in the paper, h' is made of c~, not of c'

    GRU   r = sigmoid(r)    z = sigmoid(z)
          n = m_n tanh(n + r m)
          h' = z_h h + (1 - z_h) ((1 - z) n + z h)

The masks act on the plain steps of lstm.py and gru.py: on their candidates, and on the states that they return. Each is
sampled anew at each step, for each row and unit. In evaluation m_g and m_n are 1, z_c and z_h their means.

@inproceedings{semeniuta2016recurrent,
  author    = {Semeniuta, Stanislau and Severyn, Aliaksei and Barth, Erhardt},
  title     = {Recurrent Dropout without Memory Loss},
  booktitle = {Proceedings of COLING},
  pages     = {1757--1766},
  year      = {2016},
}

@inproceedings{krueger2017zoneout,
  author    = {Krueger, David and Maharaj, Tegan and Kram{\\'a}r, J{\\'a}nos and Pezeshki, Mohammad and
               Ballas, Nicolas and Ke, Nan Rosemary and Goyal, Anirudh and Bengio, Yoshua and Courville, Aaron and
               Pal, Christopher},
  title     = {Zoneout: Regularizing {RNN}s by Randomly Preserving Hidden Activations},
  booktitle = {International Conference on Learning Representations},
  year      = {2017},
}
"""

from carrousel.cells import Cell, Value, Values, tanh
from carrousel.cells.gru import step as plain_gru
from carrousel.cells.lstm import step as plain_lstm


class Masked:
    """A row whose tanh is multiplied by a mask: the plain step computes with it as with any row."""

    def __init__(self, row: Value, mask: Value) -> None:
        self.row: Value = row
        self.mask: Value = mask

    def __add__(self, other: Value) -> Value:
        return Masked(self.row + other, self.mask)

    def tanh(self) -> Value:
        """The mask times the row's tanh."""
        return self.mask * tanh(self.row)


def zone_out(mask: Value, old: Value, new: Value) -> Value:
    """The old value where the mask is 1, the new one where it is 0."""
    return mask * old + (1 - mask) * new


def step_gru(rows: Values, states: Values, masks: Values) -> Values:
    n, r, z, m = rows
    m_n, z_h = masks
    (h,) = plain_gru((Masked(n, m_n), r, z, m), states)
    return (zone_out(z_h, states[0], h),)


def step_lstm(rows: Values, states: Values, masks: Values) -> Values:
    i, f, g, o = rows
    m_g, z_c, z_h = masks
    h, c = plain_lstm((i, f, Masked(g, m_g), o), states)
    return zone_out(z_h, states[0], h), zone_out(z_c, states[1], c)


GRU = Cell(
    "regularized_gru",
    rows="nrzm",
    from_x="rzn",
    from_h="rzm",
    states="h",
    step=step_gru,
    forget_gate="z",
    masks={"candidate": 1.0, "zoneout_h": 0.0},
)
LSTM = Cell(
    "regularized_lstm",
    rows="ifgo",
    from_x="ifgo",
    from_h="ifgo",
    states="hc",
    step=step_lstm,
    forget_gate="f",
    input_gate="i",
    masks={"candidate": 1.0, "zoneout_c": 0.0, "zoneout_h": 0.0},
)
