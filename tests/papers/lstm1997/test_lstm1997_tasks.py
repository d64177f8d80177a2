"""The data of the 1997 paper's experiments: lengths, positions, lags, balance of the classes, legality, targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from carrousel.papers.harness.random_streams import random_stream, random_streams
from carrousel.papers.harness.sequences import positions, starts
from carrousel.papers.lstm1997.experiments import (
    ALL,
    adding,
    embedded_reber,
    long_lag_noise_free,
    long_lag_random,
    multiplication,
    temporal_order,
    two_sequence,
    very_long_lag,
)

N = 4000


@pytest.fixture
def rng():
    return random_stream(1, "tests", "data", 0)


def near(count, share, n=N):
    """Whether a count is a binomial one of this share, within four standard deviations."""
    return abs(count - n * share) < 4 * np.sqrt(n * share * (1 - share))


def split(sequences):
    """The inputs of each sequence by itself."""
    return np.split(sequences.x, np.cumsum(sequences.lengths)[:-1])


# ---- blocks of sequences --------------------------------------------------------------------------------------------


def test_starts_and_positions():
    lengths = np.array([2, 1, 3], np.int32)
    assert starts(lengths).tolist() == [0, 2, 3]
    assert positions(lengths).tolist() == [0, 1, 0, 0, 1, 2]


@pytest.mark.parametrize("make", [temporal_order, embedded_reber], ids=["at the end", "at every step"])
def test_parts_and_taken_are_the_same_sequences(rng, make):
    block = make.sample_sequences(rng, 9, "6a") if make is temporal_order else make.sample_strings(rng, 9)
    part, taken = block.part(3, 5), block.select(np.array([3, 4]))
    for a, b in zip(part, taken):
        assert a is b is None or (a == b).all()
    assert part.x.tolist() == np.concatenate(split(block)[3:5]).tolist()
    twice = block.select(np.array([5, 5]))
    assert (split(twice)[0] == split(block)[5]).all()
    assert (split(twice)[1] == split(block)[5]).all()
    both = block.part(0, 4).concat(block.part(4, 9))
    assert (both.x == block.x).all()
    assert (both.targets == block.targets).all()


def test_streams_depend_on_all_that_names_them():
    names = [(0, "4", "training", 0), (1, "4", "training", 0), (0, "5", "training", 0), (0, "4", "test", 0)]
    names.append((0, "4", "training", 1))
    first = {random_stream(*name).random() for name in names}
    assert len(first) == len(names)
    assert random_stream(*names[0]).random() == random_streams(0, "4")("training", 0).random()


# ---- Experiment 1 ---------------------------------------------------------------------------------------------------


def reber_says(string):
    """The legal symbols after each prefix of an embedded string, by a walk of its own; None if it is illegal."""
    graph = {0: "T1P2", 1: "S1X3", 2: "T2V4", 3: "X2S5", 4: "P3V5", 5: "E6"}
    legal, outer = [{"T", "P"}], string[1]
    if string[0] != "B" or outer not in "TP" or string[2] != "B":
        return None
    legal += [{"B"}]
    node = 0
    for symbol in string[3:-2]:
        edges = dict(zip(graph[node][::2], map(int, graph[node][1::2])))
        legal.append(set(edges))
        if symbol not in edges:
            return None
        node = edges[symbol]
    legal += [{outer}, {"E"}]
    return legal if node == 6 and string[-2:] == outer + "E" else None


def test_reber_strings_are_legal_and_so_are_their_successors(rng):
    block = embedded_reber.sample_strings(rng, 500)
    legal = np.split(block.truth, np.cumsum(block.lengths)[:-1])
    for string, mask in zip(embedded_reber.spell(block), legal):
        expected = reber_says(string)
        assert expected is not None, string
        found = [{embedded_reber.SYMBOLS[k] for k in np.flatnonzero(row)} for row in mask]
        assert found == expected, string


def test_reber_lengths_and_targets(rng):
    block = embedded_reber.sample_strings(rng, N)
    lengths = block.lengths + 1  # the last symbol is a target only
    assert lengths.min() == 9
    assert near((lengths == 9).sum(), 0.25)
    assert abs(lengths.mean() - 12) < 4 * 3.4 / np.sqrt(N)
    assert block.truth[np.arange(len(block.x)), block.targets].all()
    assert near((block.x[starts(block.lengths) + 1] == embedded_reber.SYMBOLS.index("T")).sum(), 0.5)


def test_reber_test_strings_are_not_in_the_training_set(rng):
    training, test = embedded_reber.sample_sets(rng)
    assert len(training.lengths) == len(test.lengths) == 256
    assert not set(embedded_reber.spell(training)) & set(embedded_reber.spell(test))


def test_ten_reber_trials_share_their_sets():
    sources = [embedded_reber.source(random_streams(0, "1"), trial) for trial in (0, 9, 10)]
    spelled = [embedded_reber.spell(source.examined) for source in sources]
    assert spelled[0] == spelled[1] != spelled[2]
    presented = embedded_reber.spell(sources[0].training(random_streams(0, "1")("training", 0), 300))
    assert set(presented) <= set(spelled[0][:256])


# ---- Experiment 2 ---------------------------------------------------------------------------------------------------


def test_noise_free_sequences(rng):
    block = long_lag_noise_free.sample_sequences(rng, 200, p=10)
    x, y = 9, 10
    for symbols, targets in zip(block.x.reshape(200, 10), block.targets.reshape(200, 10)):
        assert symbols[0] in (x, y)
        assert symbols[1:].tolist() == list(range(9))  # a_1 ... a_(p-1)
        assert targets.tolist() == [*range(9), symbols[0]]
    assert near((block.x[::10] == x).sum(), 0.5, 200)
    both = long_lag_noise_free.list_sequences(p=10)
    assert {tuple(row) for row in both.x.reshape(2, 10)} == {tuple(row) for row in block.x.reshape(200, 10)}


def test_random_sequences_have_no_regularity_but_their_ends(rng):
    block = long_lag_random.sample_sequences(rng, 1000, p=10)
    symbols, targets = block.x.reshape(1000, 10), block.targets.reshape(1000, 10)
    assert (targets[:, -1] == symbols[:, 0]).all()
    assert (targets[:, :-1] == symbols[:, 1:]).all()
    assert set(symbols[:, 0]) == {9, 10}
    counts = np.bincount(symbols[:, 1:].ravel(), minlength=11)
    assert counts[9:].sum() == 0
    assert all(near(count, 1 / 9, 9000) for count in counts[:9])


def test_very_long_lags(rng):
    q, p = 30, 7
    block = very_long_lag.sample_sequences(rng, N, q=q, p=p)
    e, b, x, y = p, p + 1, p + 2, p + 3
    for symbols, target in zip(split(block), block.targets):
        assert symbols[0] == b
        assert symbols[1] == (x, y)[target]
        assert symbols[-1] == e
        assert symbols[2:-1].max() < p
        assert len(symbols) >= q + 3
    with_last = block.lengths + 1
    assert abs(with_last.mean() - (q + 13)) < 4 * np.sqrt(90 / N)  # the paper says q + 14; its own sum is q + 13
    assert near((with_last == q + 4).sum(), 0.1)
    assert near(block.targets.sum(), 0.5)
    assert block.at_end


# ---- Experiment 3 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["3a", "3b", "3c"])
@pytest.mark.parametrize("informative", [1, 3])
def test_two_sequence(rng, task, informative):
    block = two_sequence.sample_sequences(rng, N, T=20, N=informative, task=task)
    first_class = {"3a": 1.0, "3b": 1.0, "3c": 0.2}[task]
    truth = block.targets if block.truth is None else block.truth
    assert set(np.round(truth[:, 0].astype(float), 6)) == ({0.2, 0.8} if task == "3c" else {0.0, 1.0})
    is_first = np.isclose(truth[:, 0], first_class)
    assert near(is_first.sum(), 0.5)
    assert set(block.lengths) == {20, 21, 22}
    step = positions(block.lengths)
    signal = np.repeat(np.where(is_first, 1, -1), block.lengths)[step < informative]
    told, noise = block.x[step < informative, 0], block.x[step >= informative, 0]
    if task == "3b":
        assert abs((told - signal).var() - 0.2) < 0.03
    else:
        assert (told == signal).all()
    assert abs(noise.mean()) < 4 * np.sqrt(0.2 / len(noise))
    assert abs(noise.var() - 0.2) < 4 * 0.2 * np.sqrt(2 / len(noise))


def test_noise_on_targets_is_not_in_the_truth(rng):
    block = two_sequence.sample_sequences(rng, N, T=20, N=1, task="3c")
    noise = (block.targets - block.truth)[:, 0]
    assert abs(noise.var() - 0.1) < 4 * 0.1 * np.sqrt(2 / N)
    assert abs(noise.mean()) < 4 * np.sqrt(0.1 / N)


# ---- Experiments 4 and 5 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [adding.sample_sequences, multiplication.sample_sequences], ids=["adding", "multiplication"]
)
def test_marked_pairs(rng, make):
    T = 40
    block = make(rng, N, T=T)
    assert block.lengths.min() == T
    assert block.lengths.max() == T + 4
    hidden = 0
    for pairs, target in zip(split(block), block.targets[:, 0]):
        values, markers = pairs.T
        assert markers[0] == markers[-1] == -1
        assert set(markers[1:-1]) <= {0, 1}
        marked = np.flatnonzero(markers == 1)
        assert len(marked) in (1, 2)
        assert marked.min() < 10 or len(marked) == 1  # one of the first ten; the first pair's mark cannot be seen
        assert marked.max() < T // 2
        assert len(pairs) - 1 - marked.max() >= T // 2  # the lag
        hidden += len(marked) == 1
        neutral = 0.0 if make is adding.sample_sequences else 1.0
        X1, X2 = values[marked] if len(marked) == 2 else (values[marked[0]], neutral)
        wanted = 0.5 + (X1 + X2) / 4 if make is adding.sample_sequences else X1 * X2
        assert target == pytest.approx(wanted, abs=1e-6)
    assert near(hidden, 0.1 + 0.9 / (T // 2 - 1))


def test_values_are_uniform(rng):
    for make, lowest in ((adding.sample_sequences, -1.0), (multiplication.sample_sequences, 0.0)):
        values = make(rng, 500, T=40).x[:, 0]
        assert values.min() >= lowest
        assert values.max() <= 1
        counts, _ = np.histogram(values, bins=10, range=(lowest, 1))
        assert all(near(count, 0.1, len(values)) for count in counts)


def test_marks_are_uniform_and_differ(rng):
    first, second = adding.sample_marks(rng, 90_000, T=20)
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (first, second), 1)
    assert (counts.diagonal() == 0).all()
    assert all(near(count, 1 / 90, 90_000) for count in counts[~np.eye(10, dtype=bool)])


# ---- Experiment 6 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "windows"), [("6a", ((10, 20), (50, 60))), ("6b", ((10, 20), (33, 43), (66, 76)))], ids=["6a", "6b"]
)
def test_temporal_order(rng, task, windows):
    block = temporal_order.sample_sequences(rng, N, task)
    seen = [set() for _ in windows]
    for symbols, target in zip(split(block), block.targets):
        string = "".join(temporal_order.SYMBOLS[k] for k in symbols)
        assert string[0] == "E"
        assert string[-1] == "B"
        at = [t for t, symbol in enumerate(string, 1) if symbol in "XY"]  # the paper counts from 1
        assert len(at) == len(windows)
        for t, (first, last), found in zip(at, windows, seen):
            assert first <= t <= last
            found.add(t)
        order = "".join(string[t - 1] for t in at)
        assert target == int(order.replace("X", "0").replace("Y", "1"), 2)  # XX, XY, YX, YY
        assert set(string) <= set("EBabcdXY")
        assert set(string[1:-1]) <= set("abcdXY")
    assert all(len(found) == 11 for found in seen)
    assert set(block.lengths) == set(range(100, 111))
    classes = 2 ** len(windows)
    assert all(near(count, 1 / classes) for count in np.bincount(block.targets, minlength=classes))


# ---- all ------------------------------------------------------------------------------------------------------------

ROWS = {row.key: row for experiment in ALL.values() for row in (*experiment.rows, *experiment.variants)}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_rows_have_the_papers_number_of_weights_and_lengths(row, rng):
    """But for readings that add connections, or biases, which the paper does not have."""
    literal = ROWS[row.number].method.network
    as_the_paper = replace(row.method.network, connectivity=literal.connectivity, biased=literal.biased)
    assert as_the_paper.weight_count == row.paper.weights
    source = row.source(random_streams(0, row.number), 0)
    block = source.training(rng, 50)
    assert 0.9 < block.lengths.mean() / row.steps < 1.1 or row.number.startswith("1")
    assert len(block.x) == block.lengths.sum()


def test_every_row_of_the_tables_is_there_and_read_literally_first():
    from carrousel.papers.lstm1997.tables import LSTM

    literal = [row.number for experiment in ALL.values() for row in experiment.rows]
    assert literal == list(LSTM)
    assert all(row.reading == "literal" for experiment in ALL.values() for row in experiment.rows)
    assert all(row.reading != "literal" for experiment in ALL.values() for row in experiment.variants)
