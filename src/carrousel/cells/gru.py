"""Gated recurrent unit, as cuDNN and torch.nn.GRU have it: the reset gate acts on R h, after the product.

    r = sigmoid(r)    z = sigmoid(z)
    n = tanh(n + r m)               n is W x of the candidate, m is R h of the candidate
    h' = (1 - z) n + z h

@inproceedings{cho2014learning,
  author    = {Cho, Kyunghyun and van Merri{\\"e}nboer, Bart and Gulcehre, Caglar and Bahdanau, Dzmitry and
               Bougares, Fethi and Schwenk, Holger and Bengio, Yoshua},
  title     = {Learning Phrase Representations using {RNN} Encoder-Decoder for Statistical Machine Translation},
  booktitle = {Proceedings of EMNLP},
  pages     = {1724--1734},
  year      = {2014},
}
"""

from carrousel.cells import Cell, Values, sigmoid, tanh


def step(rows: Values, states: Values) -> Values:
    n, r, z, m = rows
    (h,) = states
    z = sigmoid(z)
    n = tanh(n + sigmoid(r) * m)
    return (n + z * (h - n),)


CELL = Cell("gru", rows="nrzm", from_x="rzn", from_h="rzm", states="h", step=step, forget_gate="z")
