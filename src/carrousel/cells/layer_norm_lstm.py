"""LSTM with layer normalisation: of W x, of R h and of the new internal state, which comes normalised into the output.

    a = x_ LN(W x) + h_ LN(R h) + b           LN over all 4 H numbers of i f g o together; x_ h_ are gains [4 H]
    c' = sigmoid(f) c + sigmoid(i) tanh(g)
    h' = sigmoid(o) tanh(n LN(c') + m)        LN over the H units; n is the gain, m the bias [H]

    LN(v) = (v - mean of v) / sqrt(variance of v + 1e-5)

These are the equations of the paper's supplement. TensorFlow's LayerNormBasicLSTMCell has others: it normalises each
gate over its own H units, after W x and R h are added, and hands the normalised state on to the next step.

@article{ba2016layer,
  author  = {Ba, Jimmy Lei and Kiros, Jamie Ryan and Hinton, Geoffrey E.},
  title   = {Layer Normalization},
  journal = {arXiv preprint arXiv:1607.06450},
  year    = {2016},
}
"""

from carrousel.cells import Cell, Values, layer_norm, sigmoid, tanh


def step(rows: Values, states: Values, weights: Values) -> Values:
    i, f, g, o = rows
    _, c = states
    *_, n, m = weights  # before them the gains of W x and R h, which have acted on the rows
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)  # the constant error carrousel
    return sigmoid(o) * tanh(n * layer_norm(c) + m), c


CELL = Cell(
    "layer_norm_lstm",
    rows="ifgo",
    from_x="ifgo",
    from_h="ifgo",
    states="hc",
    step=step,
    weights="nm",
    forget_gate="f",
    input_gate="i",
    normed=True,
    starts=(1, 0),
)
