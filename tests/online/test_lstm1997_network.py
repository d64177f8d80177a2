"""The network's description: its weights, their number in every experiment, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from carrousel.online.lstm1997.network import Network

ALL = {"biased": "all"}
PAPER = [  # Table 10's rows and their number of weights
    (Network(7, 7, 4, 1, biased="gates", output_gate_bias=(-1, -2, -3, -4)), 264),
    (Network(7, 7, 3, 2, biased="gates", output_gate_bias=(-1, -2, -3)), 276),
    (Network(101, 101, 1, output_gates=False, connectivity="B", g="g1", h="id"), 10504),
    *((Network(p + 4, 2, 2), 6 * p + 64) for p in (50, 100, 200, 500, 1000)),
    (Network(1, 1, 3, biased="hidden", input_gate_bias=(-1, -3, -5), output_gate_bias=(-2, -4, -6)), 102),
    (Network(2, 1, 2, 2, biased="all", input_gate_bias=(-3, -6)), 93),
    (Network(2, 1, 2, 2, biased="all"), 93),
    (Network(8, 4, 2, 2, biased="all", input_gate_bias=(-2, -4)), 156),
    (Network(8, 8, 3, 2, biased="all", input_gate_bias=(-2, -4, -6)), 308),
]


@pytest.mark.parametrize(("network", "count"), PAPER, ids=lambda value: str(value) if isinstance(value, int) else "")
def test_weight_counts_are_the_papers(network, count):
    assert network.weight_count == count
    assert network.initial_weights(0).shape == (count,)


def test_the_papers_formula_for_conventional_units():
    """W = KH + KCS + CSI + 2CI + HI of equation (29), I = inputs and all hidden units."""
    n = Network(inputs=5, outputs=3, blocks=2, block_size=3, hidden=4)
    K, H, C, S, fan_in = 3, 4, 2, 3, 5 + n.units
    assert n.units == 2 * 3 + 2 * 2 + 4
    assert n.weight_count == K * H + K * C * S + C * S * fan_in + 2 * C * fan_in + H * fan_in


def test_initial_weights_lie_in_their_range_and_gate_biases_are_exact():
    n = Network(8, 8, 3, 2, biased="all", input_gate_bias=(-2, -4, -6), weight_range=0.1)
    weights = n.split(n.initial_weights(3))
    assert weights.hidden_bias[n.input_gates].tolist() == [-2, -4, -6]
    assert np.abs(weights.hidden).max() <= 0.1 < 1.05 * np.abs(weights.hidden).max()
    assert np.abs(weights.hidden_bias[n.output_gate_units]).max() <= 0.1
    assert n.initial_weights(3).tolist() == n.initial_weights(np.random.default_rng(3)).tolist()
    assert n.initial_weights(3).tolist() != n.initial_weights(4).tolist()


@pytest.mark.parametrize("biased", ["none", "gates", "gates and outputs", "hidden", "all"])
@pytest.mark.parametrize(
    "shape", [{}, {"hidden": 3}, {"connectivity": "B"}, {"connectivity": "FB"}, {"output_gates": False}], ids=str
)
def test_split_and_join_are_each_others_reverse(biased, shape):
    n = Network(4, 3, 2, 2, biased=biased, **shape)
    flat = np.arange(1.0, 1 + 2 * n.weight_count).reshape(2, -1)
    apart = n.split(flat)
    assert (n.join(apart) == flat).all()
    assert ((apart.hidden_bias != 0) == n.hidden_biased).all()
    assert n.hidden_biased.sum() == {"none": 0, "hidden": n.units, "all": n.units}.get(
        biased, n.units - n.cells - n.hidden
    )


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"blocks": -1}, "blocks=-1"),
        ({"block_size": 0}, "block_size=0"),
        ({"inputs": 0}, "inputs=0"),
        ({"outputs": 2.5}, r"outputs=2\.5"),
        ({"hidden": True}, "hidden=True"),
        ({"blocks": 0}, "blocks=0 and hidden=0"),
        ({"connectivity": "G"}, "connectivity='G'"),
        ({"biased": "some"}, "biased='some'"),
        ({"g": "tanh"}, "g='tanh'"),
        ({"output_gates": 2}, "output_gates=2"),
        ({"recurrent_cells": "no"}, "recurrent_cells='no'"),
        ({"weight_range": float("nan")}, "weight_range=nan"),
        ({"biased": "all", "input_gate_bias": (-1.0,)}, r"input_gate_bias=\(-1.0,\) must be 2"),
        ({"biased": "all", "input_gate_bias": (1.0, float("inf"))}, "input_gate_bias"),
        ({"input_gate_bias": (-1.0, -2.0)}, 'biased="none"'),
        ({"biased": "all", "output_gates": False, "output_gate_bias": (-1.0, -2.0)}, "output_gates=False"),
    ],
    ids=str,
)
def test_impossible_descriptions_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        Network(**{"inputs": 2, "outputs": 1, "blocks": 2, **wrong})


@pytest.mark.parametrize("weights", [np.zeros(92), np.zeros((93, 1)), np.full(93, np.nan)], ids=["92", "shape", "nan"])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match="weights"):
        Network(2, 1, 2, 2, biased="all").split(weights)
