"""Simple recurrent network, with tanh or relu; torch.nn.RNN's two cells.

    h' = tanh(a)    or    h' = max(a, 0)

@article{elman1990finding,
  author  = {Elman, Jeffrey L.},
  title   = {Finding Structure in Time},
  journal = {Cognitive Science},
  volume  = {14},
  number  = {2},
  pages   = {179--211},
  year    = {1990},
}
"""

from carrousel.cells import Cell, Values, relu, tanh


def step_tanh(rows: Values, states: Values) -> Values:
    (a,) = rows
    return (tanh(a),)


def step_relu(rows: Values, states: Values) -> Values:
    (a,) = rows
    return (relu(a),)


TANH = Cell("rnn_tanh", rows="a", from_x="a", from_h="a", states="h", step=step_tanh)
RELU = Cell("rnn_relu", rows="a", from_x="a", from_h="a", states="h", step=step_relu)
