"""minGRU and minLSTM: gates of x alone, no R, and a candidate without tanh.

    g(a) = a + 1/2 where a >= 0, else sigmoid(a)        positive, so that it has a logarithm

    minGRU    h' = (1 - z) h + z g(a)                   z = sigmoid(z)
    minLSTM   h' = f h + (1 - f) g(a)                   f = sigmoid(f) / (sigmoid(f) + sigmoid(i))

@article{feng2024were,
  author  = {Feng, Leo and Tung, Frederick and Ahmed, Mohamed Osama and Bengio, Yoshua and Hajimirsadeghi, Hossein},
  title   = {Were {RNN}s All We Needed?},
  journal = {arXiv preprint arXiv:2410.01201},
  year    = {2024},
}
"""

from carrousel.cells import Cell, Value, Values, sigmoid, softplus


def positive(a: Value) -> Value:
    """The candidate's function g."""
    return (a + 0.5).where(a >= 0, sigmoid(a))


def step_gru(rows: Values, states: Values) -> Values:
    z, g = rows
    (h,) = states
    return (h + sigmoid(z) * (positive(g) - h),)


def step_lstm(rows: Values, states: Values) -> Values:
    f, i, g = rows
    (h,) = states
    g = positive(g)
    return (g + sigmoid(softplus(-i) - softplus(-f)) * (h - g),)  # f / (f + i) of sigmoids that may both be zero


GRU = Cell("mingru", rows="zg", from_x="zg", from_h="", states="h", step=step_gru, input_gate="z")
LSTM = Cell("minlstm", rows="fig", from_x="fig", from_h="", states="h", step=step_lstm, forget_gate="f", input_gate="i")
