"""LSTM whose gates see the internal state through peepholes, one weight a unit. The gradient is exact: it is not cut.

    c' = sigmoid(f + p_f c) c + sigmoid(i + p_i c) tanh(g)
    h' = sigmoid(o + p_o c') tanh(c')

@article{gers2002learning,
  author  = {Gers, Felix A. and Schraudolph, Nicol N. and Schmidhuber, J{\\"u}rgen},
  title   = {Learning Precise Timing with {LSTM} Recurrent Networks},
  journal = {Journal of Machine Learning Research},
  volume  = {3},
  pages   = {115--143},
  year    = {2002},
}
"""

from carrousel.cells import Cell, Values, sigmoid, tanh


def step(rows: Values, states: Values, weights: Values) -> Values:
    i, f, g, o = rows
    _, c = states
    p_i, p_f, p_o = weights
    c = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * tanh(g)
    return sigmoid(o + p_o * c) * tanh(c), c


CELL = Cell(
    "peephole",
    rows="ifgo",
    from_x="ifgo",
    from_h="ifgo",
    states="hc",
    step=step,
    weights="ifo",
    forget_gate="f",
    input_gate="i",
)
