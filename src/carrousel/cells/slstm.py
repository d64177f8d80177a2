"""sLSTM of xLSTM: input gates that are exponentials, a normaliser n, and a stabiliser m that keeps them in range.

    m' = max(i, log sigmoid(f) + m)
    i' = exp(i - m')    f' = exp(log sigmoid(f) + m - m')
    c' = f' c + i' tanh(z)
    n' = f' n + i'
    h' = sigmoid(o) c' / n'

n = 0 is the empty memory, with which a sequence starts: there m counts as -infinity, as in the paper, so that n' is 1.

@inproceedings{beck2024xlstm,
  author    = {Beck, Maximilian and P{\\"o}ppel, Korbinian and Spanring, Markus and Auer, Andreas and
               Prudnikova, Oleksandra and Kopp, Michael and Klambauer, G{\\"u}nter and Brandstetter, Johannes and
               Hochreiter, Sepp},
  title     = {{xLSTM}: Extended Long Short-Term Memory},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {37},
  year      = {2024},
}
"""

from carrousel.cells import Cell, Values, exp, sigmoid, softplus, tanh


def step(rows: Values, states: Values) -> Values:
    z, i, f, o = rows
    _, c, n, m = states
    decayed = (m - softplus(-f)).where(n > 0, i - 100)  # less than i, and e^-100 is negligible beside 1
    # Of i' and f' one is 1, and the other e^-|ahead|: for a backward pass this number stands for both.
    ahead = i - decayed
    m = i.where(ahead >= 0, decayed)
    i, f = exp(ahead.where(ahead < 0, 0.0)), exp((-ahead).where(ahead >= 0, 0.0)) * (n > 0)
    c, n = f * c + i * tanh(z), f * n + i
    return sigmoid(o) * c / n, c, n, m


CELL = Cell(
    "slstm", rows="zifo", from_x="zifo", from_h="zifo", states="hcnm", step=step, forget_gate="f", input_gate="i"
)
