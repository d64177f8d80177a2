"""LSTM with coupled gates: what is forgotten makes room for what comes in, f = 1 - i. CIFG of the search-space odyssey,
without its peepholes (with them: `carrousel.odyssey.CIFG`).

    c' = (1 - sigmoid(i)) c + sigmoid(i) tanh(g)
    h' = sigmoid(o) tanh(c')

@article{greff2017lstm,
  author  = {Greff, Klaus and Srivastava, Rupesh K. and Koutn{\\'i}k, Jan and Steunebrink, Bas R. and
             Schmidhuber, J{\\"u}rgen},
  title   = {{LSTM}: A Search Space Odyssey},
  journal = {IEEE Transactions on Neural Networks and Learning Systems},
  volume  = {28},
  number  = {10},
  pages   = {2222--2232},
  year    = {2017},
}
"""

from carrousel.cells import Cell, Values, sigmoid, tanh


def step(rows: Values, states: Values) -> Values:
    i, g, o = rows
    _, c = states
    c = c + sigmoid(i) * (tanh(g) - c)
    return sigmoid(o) * tanh(c), c


CELL = Cell("coupled", rows="igo", from_x="igo", from_h="igo", states="hc", step=step, input_gate="i")
