"""The LSTM of 1997: no forget gate, g in [-2, 2] and h in [-1, 1].

    c' = c + sigmoid(i) g(a)      g(a) = 4 sigmoid(a) - 2 = 2 tanh(a/2)
    h' = sigmoid(o) h(c')         h(c) = 2 sigmoid(c) - 1 = tanh(c/2)

@article{hochreiter1997long,
  author  = {Hochreiter, Sepp and Schmidhuber, J{\\"u}rgen},
  title   = {Long Short-Term Memory},
  journal = {Neural Computation},
  volume  = {9},
  number  = {8},
  pages   = {1735--1780},
  year    = {1997},
}
"""

from carrousel.cells import Cell, Values, sigmoid, tanh


def step(rows: Values, states: Values) -> Values:
    i, g, o = rows
    _, c = states
    c = c + 2 * sigmoid(i) * tanh(g / 2)  # the constant error carrousel: weight 1.0 to itself
    return sigmoid(o) * tanh(c / 2), c


CELL = Cell("lstm1997", rows="igo", from_x="igo", from_h="igo", states="hc", step=step)
