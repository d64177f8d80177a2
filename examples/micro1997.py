"""The LSTM of 1997 in one file: the network, its learning rule, and the adding problem. Read it from top to bottom.

    python examples/micro1997.py                                  # sequences of 20 steps: about a minute
    python examples/micro1997.py --T 100 --sequences 2_000_000    # the paper's Experiment 4: hours

`carrousel reproduce --row 4-1` runs the paper's Experiment 4 in C++.

Hochreiter & Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997. Numbers in brackets are equations
of the paper; from (6) on they stand in its appendix A.1.

The problem: error that flows back through time grows or vanishes exponentially. The answer: a unit s whose connection
to itself is exactly 1, the constant error carrousel. What flows into s is guarded by an input gate, what flows out by
an output gate. There is no forget gate yet.

Letters: I inputs, K outputs, C blocks of memory cells, S cells in a block. The cells of a block share its two gates.
U = C*S + 2C hidden units, in this order: cells [C*S], input gates [C], output gates [C].
"""

import argparse

import numpy as np

# ---- squashing functions --------------------------------------------------------------------------------------------


def f(x):
    """(3): the logistic function, in [0, 1]; for gates and output units."""
    return 1 / (1 + np.exp(-x))


def h(x):
    """(4): in [-1, 1]; for a cell's state on its way out."""
    return 2 * f(x) - 1


def g(x):
    """(5): in [-2, 2]; for a cell's input."""
    return 4 * f(x) - 2


def df(x):
    """f'. And h' = 2 f', g' = 4 f'."""
    return f(x) * (1 - f(x))


# ---- the network ----------------------------------------------------------------------------------------------------


class Network:
    """C memory cell blocks of S cells, fully recurrent; output units that see the cells. All units have biases.

    W [U, I+U+1] are the weights into the hidden units: from the inputs, from the hidden units one step before, and
    from a constant 1. V [K, C*S+1] are those into the output units: from the cells and from a constant 1.
    """

    def __init__(self, I, K, C, S, input_gate_bias, rng, weight_range=0.1):
        self.C, self.cells, self.U = C, C * S, C * S + 2 * C
        self.into_in = slice(C * S, C * S + C)  # rows of W: the input gates
        self.into_out = slice(C * S + C, self.U)  # the output gates
        self.block = np.repeat(np.arange(C), S)  # of each cell
        self.W = rng.uniform(-weight_range, weight_range, (self.U, I + self.U + 1))
        self.V = rng.uniform(-weight_range, weight_range, (K, self.cells + 1))
        self.W[self.into_in, -1] = input_gate_bias  # almost shut at first, so that s does not drift
        self.dW, self.dV = np.zeros_like(self.W), np.zeros_like(self.V)
        self.reset()

    def reset(self):
        """Forget everything but the weights: a sequence begins."""
        self.s = np.zeros(self.cells)  # internal states
        self.y = np.zeros(self.U)  # outputs of the hidden units
        self.ds_dWc = np.zeros((self.cells, self.W.shape[1]))  # of each cell: by the weights into the cell ...
        self.ds_dWin = np.zeros((self.cells, self.W.shape[1]))  # ... and by those into its input gate

    def step(self, x):
        """One time step: x [I] -> y_k [K]. First all hidden units, from one and the same z; then the outputs."""
        self.z = np.concatenate([x, self.y, [1.0]])
        net = self.W @ self.z
        self.net_c = net[: self.cells]
        self.net_in = net[self.into_in][self.block]  # [C*S]: each cell with the gate of its block
        self.net_out = net[self.into_out]
        self.y = f(net)  # (7), (8): the gates
        self.s = self.s + f(self.net_in) * g(self.net_c)  # (9): the constant error carrousel
        self.y_out = f(self.net_out)[self.block]
        self.y[: self.cells] = self.y_out * h(self.s)
        self.remember()
        self.r = np.append(self.y[: self.cells], 1.0)
        self.y_k = f(self.V @ self.r)
        return self.y_k

    def remember(self):
        """How each state depends on each weight, carried forward in time: nothing of the past has to be stored.

        This is where the rule truncates: z is treated as a constant, though the y in it depend on the weights too, so
        an error that reaches a net input goes no further back. What remains is a plain sum over time, because the
        derivative of s with respect to the previous s is 1: an error at s reaches every earlier step undiminished.
        """
        self.ds_dWin += np.outer(g(self.net_c) * df(self.net_in), self.z)  # (25)
        self.ds_dWc += np.outer(f(self.net_in) * 4 * df(self.net_c), self.z)  # (27)

    def learn(self, target):
        """Collect the changes that the target [K] of this step asks for."""
        e_k = self.y_k * (1 - self.y_k) * (target - self.y_k)  # (19)
        at_cells = e_k @ self.V[:, : self.cells]  # sum over k of w_kc e_k
        at_out = np.bincount(self.block, h(self.s) * at_cells)  # summed over the cells of a block
        e_out = df(self.net_out) * at_out  # (21)
        e_s = self.y_out * 2 * df(self.s) * at_cells  # (23)
        self.dV += np.outer(e_k, self.r)  # (22), output units
        self.dW[self.into_out] += np.outer(e_out, self.z)  # (22), output gates
        self.dW[: self.cells] += e_s[:, None] * self.ds_dWc  # (28)
        for j in range(self.C):
            cells = self.block == j
            self.dW[self.cells + j] += e_s[cells] @ self.ds_dWin[cells]  # (24), (26)

    def update(self, alpha):
        """(22), (26), (28): the weights change by alpha times what has been collected, at the end of a sequence."""
        self.W += alpha * self.dW
        self.V += alpha * self.dV
        self.dW[:], self.dV[:] = 0, 0


# ---- Experiment 4: the adding problem -------------------------------------------------------------------------------


def adding(rng, T):
    """A sequence of pairs x [T' , 2], T <= T' <= 1.1 T, and its target.

    Each pair is a value in [-1, 1] and a marker. Two pairs are marked 1: one of the first ten, and another of the
    first T/2. The first and the last pair's markers are -1. The target is the scaled sum of the two marked values.
    """
    length = rng.integers(T, T + T // 10 + 1)
    x = np.zeros((length, 2))
    x[:, 0] = rng.uniform(-1, 1, length)
    first = rng.integers(0, 10)
    second = rng.integers(0, T // 2 - 1)
    second += second >= first
    X1 = x[first, 0] if first else 0.0  # the first pair's marker stays -1, and its value counts as 0
    X2 = x[second, 0] if second else 0.0
    x[[first, second], 1] = 1.0
    x[[0, -1], 1] = -1.0
    return x, 0.5 + (X1 + X2) / 4.0


def train(T, sequences, alpha=0.5, seed=0):
    """Train by the rule, weights changing after each sequence; the error comes at a sequence's last step only."""
    rng = np.random.default_rng(seed)
    network = Network(I=2, K=1, C=2, S=2, input_gate_bias=[-3.0, -6.0], rng=rng)
    print(f"{network.W.size + network.V.size} weights; a sequence is right where the error is below 0.04")
    errors = []
    for n in range(1, sequences + 1):
        x, target = adding(rng, T)
        network.reset()
        for x_t in x:
            y = network.step(x_t)
        errors.append(abs(target - y[0]))
        network.learn(np.array([target]))
        network.update(alpha)
        if n % (sequences // 10) == 0:
            last = np.array(errors[-(sequences // 10) :])
            print(f"{n:>8,} sequences: mean error {last.mean():.3f}, {(last < 0.04).mean():.0%} right")
    return network


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The adding problem, by the learning rule of 1997.")
    parser.add_argument("--T", type=int, default=20, help="shortest sequence: 20 or more, even")
    parser.add_argument("--sequences", type=int, default=40_000, help="how many to learn from: 10 or more")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the sequences")
    options = parser.parse_args()
    train(options.T, options.sequences, seed=options.seed)
