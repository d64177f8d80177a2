"""Long short-term memory with forget gates; the equations and the order of torch.nn.LSTM.

    c' = sigmoid(f) c + sigmoid(i) tanh(g)
    h' = sigmoid(o) tanh(c')

@article{gers2000learning,
  author  = {Gers, Felix A. and Schmidhuber, J{\\"u}rgen and Cummins, Fred},
  title   = {Learning to Forget: Continual Prediction with {LSTM}},
  journal = {Neural Computation},
  volume  = {12},
  number  = {10},
  pages   = {2451--2471},
  year    = {2000},
}
"""

from carrousel.cells import Cell, Values, sigmoid, tanh


def step(rows: Values, states: Values) -> Values:
    i, f, g, o = rows
    _, c = states
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)  # the constant error carrousel
    return sigmoid(o) * tanh(c), c


CELL = Cell("lstm", rows="ifgo", from_x="ifgo", from_h="ifgo", states="hc", step=step, forget_gate="f", input_gate="i")
