"""Experiment 1: embedded Reber grammar (section 5.1, figures 3 and 4).

A string is B, then T or P, then a string of the Reber grammar, then the same T or P, then E. At each symbol the next
one is to be predicted. Mostly short time lags; the T or P before the last E needs nine steps or more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carrousel.papers.lstm1997.sequences import Sequences, starts

SYMBOLS = "BTPSXVE"

# node: its one or two outgoing edges, each a symbol and the node it leads to; an edge is taken with probability 0.5
REBER = {
    "start": (("B", "0"),),
    "0": (("T", "1"), ("P", "2")),
    "1": (("S", "1"), ("X", "3")),
    "2": (("T", "2"), ("V", "4")),
    "3": (("X", "2"), ("S", "5")),
    "4": (("P", "3"), ("V", "5")),
    "5": (("E", "end"),),
}


def embedded() -> dict[str, tuple[tuple[str, str], ...]]:
    """The graph of figure 4: two copies of the Reber graph, one behind T and one behind P."""
    graph = {"begin": (("B", "fork"),), "fork": (("T", "T start"), ("P", "P start"))}
    for symbol in "TP":
        for node, edges in REBER.items():
            graph[f"{symbol} {node}"] = tuple((edge, f"{symbol} {target}") for edge, target in edges)
        graph[f"{symbol} end"] = ((symbol, "last"),)
    return graph | {"last": (("E", "done"),), "done": (("E", "done"),)}


GRAPH = embedded()
NODES = list(GRAPH)
EDGES = [(edges[0], edges[-1]) for edges in GRAPH.values()]  # both choices; the same where there is one
SYMBOL = np.array([[SYMBOLS.index(symbol) for symbol, _ in pair] for pair in EDGES], np.int32)  # [nodes, 2]
NEXT = np.array([[NODES.index(node) for _, node in pair] for pair in EDGES], np.int32)  # [nodes, 2]
LEGAL = np.array([[symbol in dict(edges) for symbol in SYMBOLS] for edges in GRAPH.values()])  # [nodes, 7]
DONE = NODES.index("done")


def strings(rng: np.random.Generator, n: int) -> Sequences:
    """n strings of the grammar, all walking through the graph at once.

    Returns:
        At each symbol but the last: the symbol, as target the next one, as truth all that may be next [steps, 7].
    """
    node = np.full(n, NODES.index("begin"))
    nodes, read = [], []
    while (node != DONE).any():
        choice = rng.integers(0, 2, n)
        read.append(np.where(node == DONE, -1, SYMBOL[node, choice]))
        node = NEXT[node, choice]
        nodes.append(node)
    symbols, after = np.stack(read, 1), np.stack(nodes, 1)  # [n, T]
    known = symbols[:, 1:] >= 0  # steps that have a next symbol
    given, following = symbols[:, :-1][known], symbols[:, 1:][known]
    return Sequences(known.sum(1, dtype=np.int32), given, following, LEGAL[after[:, :-1][known]])


def spelled(sequences: Sequences) -> list[str]:
    """The strings in letters."""
    letters = np.array(list(SYMBOLS))
    given, following = letters[sequences.x], letters[sequences.targets]
    ends = np.cumsum(sequences.lengths)
    return ["".join(given[first:end]) + following[end - 1] for first, end in zip(starts(sequences.lengths), ends)]


def training_and_test(rng: np.random.Generator, n: int = 256) -> tuple[Sequences, Sequences]:
    """A pair of sets: n random strings each, none of the second in the first."""
    training = strings(rng, n)
    seen = set(spelled(training))
    candidates = strings(rng, 8 * n)
    new = np.array([string not in seen for string in spelled(candidates)])
    return training, candidates.taken(np.flatnonzero(new)[:n])


def predicted(outputs: NDArray, legal: NDArray) -> NDArray:
    """Whether the possible next symbols are the most active outputs: the paper's measure.

    Args:
        outputs: of the output units at each step [steps, 7].
        legal: the symbols that may follow there [steps, 7].

    Returns:
        For each step, whether every legal output is above every other [steps].
    """
    return np.where(legal, outputs, np.inf).min(-1) > np.where(legal, -np.inf, outputs).max(-1)
