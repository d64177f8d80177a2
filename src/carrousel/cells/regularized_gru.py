"""GRU with masks: recurrent dropout on the candidate, zoneout of h. Without a mask it is the GRU.

    r = sigmoid(r)    z = sigmoid(z)
    n = m_n tanh(n + r m)               recurrent dropout: m_n is 0 or 1 / (1 - p)
    h' = z_h h + (1 - z_h) ((1 - z) n + z h)    zoneout: z_h is 1 or 0

Each mask is drawn anew at each step, for each row and unit. In evaluation m_n is 1, and z_h is its mean.

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

from carrousel.cells.base import Cell, sigmoid, tanh


def step(rows, states, masks):
    n, r, z, m = rows
    (h,) = states
    m_n, z_h = masks
    z = sigmoid(z)
    n = m_n * tanh(n + sigmoid(r) * m)
    return (z_h * h + (1 - z_h) * (n + z * (h - n)),)


CELL = Cell(
    "regularized_gru",
    rows="nrzm",
    from_x="rzn",
    from_h="rzm",
    states="h",
    step=step,
    forget_gate="z",
    masks={"candidate": 1.0, "zoneout_h": 0.0},
)
