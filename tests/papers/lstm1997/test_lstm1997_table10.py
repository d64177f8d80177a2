"""Tables 10 and 11 of the 1997 paper, typed in again: what each row is run with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from carrousel.papers.harness.criteria import Predicted, Running, Successive, TestSet, Within
from carrousel.papers.harness.random_streams import random_streams
from carrousel.papers.harness.stop import Stop
from carrousel.papers.lstm1997.experiments import ALL

REBER_4, REBER_3 = (-1.0, -2.0, -3.0, -4.0), (-1.0, -2.0, -3.0)
THREE = ((-2.0, -4.0, -6.0), (-1.0, -3.0, -5.0))

# row: shortest sequence that is read, blocks, size, inputs, outputs, weights, output and input gate biases, which
# units are biased, range of the initial weights, alpha
TABLE_10 = {
    "1-1": (8, 4, 1, 7, 7, 264, REBER_4, None, "gates", 0.2, 0.1),
    "1-2": (8, 3, 2, 7, 7, 276, REBER_3, None, "gates", 0.2, 0.1),
    "1-3": (8, 3, 2, 7, 7, 276, REBER_3, None, "gates", 0.2, 0.2),
    "1-4": (8, 4, 1, 7, 7, 264, REBER_4, None, "gates", 0.2, 0.5),
    "1-5": (8, 3, 2, 7, 7, 276, REBER_3, None, "gates", 0.2, 0.5),
    "2a": (100, 1, 1, 101, 101, 10504, None, None, "none", 0.2, 1.0),
    "2b": (100, 1, 1, 101, 101, 10504, None, None, "none", 0.2, 1.0),
    "2c-1": (53, 2, 1, 54, 2, 364, None, None, "none", 0.2, 0.01),
    "2c-2": (103, 2, 1, 104, 2, 664, None, None, "none", 0.2, 0.01),
    "2c-3": (203, 2, 1, 204, 2, 1264, None, None, "none", 0.2, 0.01),
    "2c-4": (503, 2, 1, 504, 2, 3064, None, None, "none", 0.2, 0.01),
    "2c-5": (1003, 2, 1, 1004, 2, 6064, None, None, "none", 0.2, 0.01),
    "2c-6": (1003, 2, 1, 504, 2, 3064, None, None, "none", 0.2, 0.01),
    "2c-7": (1003, 2, 1, 204, 2, 1264, None, None, "none", 0.2, 0.01),
    "2c-8": (1003, 2, 1, 104, 2, 664, None, None, "none", 0.2, 0.01),
    "2c-9": (1003, 2, 1, 54, 2, 364, None, None, "none", 0.2, 0.01),
    "3a-1": (100, 3, 1, 1, 1, 102, *THREE, "hidden", 0.1, 1.0),
    "3a-2": (100, 3, 1, 1, 1, 102, *THREE, "hidden", 0.1, 1.0),
    "3a-3": (1000, 3, 1, 1, 1, 102, *THREE, "hidden", 0.1, 1.0),
    "3b-1": (100, 3, 1, 1, 1, 102, *THREE, "hidden", 0.1, 1.0),
    "3b-2": (100, 3, 1, 1, 1, 102, *THREE, "hidden", 0.1, 1.0),
    "3b-3": (1000, 3, 1, 1, 1, 102, *THREE, "hidden", 0.1, 1.0),
    "3c-1": (100, 3, 1, 1, 1, 102, *THREE, "hidden", 0.1, 0.1),
    "3c-2": (100, 3, 1, 1, 1, 102, *THREE, "hidden", 0.1, 0.1),
    "4-1": (100, 2, 2, 2, 1, 93, None, (-3.0, -6.0), "all", 0.1, 0.5),
    "4-2": (500, 2, 2, 2, 1, 93, None, (-3.0, -6.0), "all", 0.1, 0.5),
    "4-3": (1000, 2, 2, 2, 1, 93, None, (-3.0, -6.0), "all", 0.1, 0.5),
    "5-1": (100, 2, 2, 2, 1, 93, None, None, "all", 0.1, 0.1),
    "5-2": (100, 2, 2, 2, 1, 93, None, None, "all", 0.1, 0.1),
    "6a": (100, 2, 2, 8, 4, 156, None, (-2.0, -4.0), "all", 0.1, 0.5),
    "6b": (100, 3, 2, 8, 8, 308, None, (-2.0, -4.0, -6.0), "all", 0.1, 0.1),
}
TABLE_11 = {  # criterion, and from which error on one of the 2560 sequences is wrong
    "1": (Predicted(), None),
    "2a": (Within(0.25), None),
    "2b": (Successive(0.25, count=10_000), None),
    "2c": (Successive(0.2, count=10_000), None),
    "3a": (TestSet(wrong_from=0.2, fewer_than=1, means=(None, 0.01), size=256), 0.2),
    "3b": (TestSet(wrong_from=0.2, fewer_than=6, means=(None, 0.04), size=256), 0.2),
    "3c": (TestSet(wrong_from=0.1, fewer_than=1, means=(0.015,), size=256), 0.1),
    "4": (Running(Stop(bound=0.04, window=2000, mean=0.01)), 0.04),
    "5-1": (Running(Stop(bound=0.04, window=2000, allowed=139)), 0.04),  # fewer than 140 of them are wrong
    "5-2": (Running(Stop(bound=0.04, window=2000, allowed=12)), 0.04),
    "6": (Running(Stop(bound=0.3, window=2000, mean=0.1)), 0.3),
}
ROWS = {row.number: row for experiment in ALL.values() for row in experiment.rows}
every_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


@every_row
def test_table_10(row):
    n = row.method.network
    _, *numbers, ogb, igb, biased, largest, rate = TABLE_10[row.number]
    assert [n.blocks, n.block_size, n.inputs, n.outputs, n.weight_count] == numbers
    assert (n.output_gate_bias, n.input_gate_bias, n.biased) == (ogb, igb, biased)
    assert (n.weight_range, row.method.rate) == (largest, rate)
    shortcuts = row.number in ("2a", "2b")
    expected = ("B", False, "g1", "id") if shortcuts else ("F", True, "g2", "h1")
    assert (n.connectivity, n.output_gates, n.g, n.h) == expected
    assert (n.output, n.hidden, row.method.error, row.method.update, row.method.grows) == (
        "logistic",
        0,
        "squared",
        "sequence",
        shortcuts,
    )


@every_row
def test_table_11(row):
    name = next(name for name in TABLE_11 if row.number.startswith(name))
    assert (row.criterion, row.wrong_from) == TABLE_11[name]


@every_row
def test_the_shortest_sequence_is_as_long_as_table_10_says(row):
    stream = random_streams(0, row.group)
    block = row.source(stream, 0).training(stream("training", 0), 1500)
    assert block.lengths.min() == TABLE_10[row.number][0]  # in Experiments 1 and 2 the last symbol is a target only
    assert block.at_end == (row.number[0] not in "1" and row.number not in ("2a", "2b"))


@pytest.mark.parametrize(("number", "informative"), [("3a-1", 3), ("3a-2", 1), ("3a-3", 3), ("3c-1", 3), ("3c-2", 1)])
def test_how_many_elements_are_informative(number, informative):
    stream = random_streams(0, "3a")
    block = ROWS[number].source(stream, 0).training(stream("training", 0), 50)
    first = [sequence[: informative + 1, 0] for sequence in (block.part(k, k + 1).x for k in range(50))]
    assert all((abs(x[:informative]) == 1).all() for x in first)
    assert all(abs(x[informative]) != 1 for x in first)


@pytest.mark.parametrize("experiment", ALL.values(), ids=ALL)
def test_variants_differ_from_their_row_and_inputs_have_a_name_each(experiment):
    literal = {row.number: row for row in experiment.rows}
    for row in experiment.variants:
        of = literal[row.number]
        assert (row.number, row.setting, row.wrong_from, row.steps) == (of.number, of.setting, of.wrong_from, of.steps)
        assert replace(row, changes=()) != of
        assert row.source is of.source or row.reading.startswith("error-at-end")
    assert len(experiment.inputs) in (0, experiment.rows[0].method.network.inputs)
