"""hx as a list, or as another sequence that torch.nn takes in place of a tuple, whoever asks for gradients or not."""

from __future__ import annotations

import collections
from contextlib import contextmanager

import pytest
import torch
from composed_layers import I, kinds, make
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._pytree import tree_leaves
from twins import assert_equal_to_1e10

T, B = 3, 2
WITH_SEVERAL = kinds(
    *["LSTM", "LSTM_projected", "LSTM_low", "PeepholeLSTM", "CoupledLSTM", "LayerNormLSTM", "LSTM1997"],
    *["SLSTM", "SLSTM_heads", "MLSTM", "FGR", "FGR_compiled"],
)
SEQUENCES = {
    "list": list,
    "namedtuple": lambda states: collections.namedtuple("States", [f"s{k}" for k in range(len(states))])(*states),
}
# What torch.nn refuses, and ours may take: but then everywhere.
OTHERS = {
    "deque": collections.deque,
    "UserList": collections.UserList,
    "ParameterList": nn.ParameterList,
    "stacked": torch.stack,
}


@contextmanager
def training(layer):
    yield


@contextmanager
def no_grad(layer):
    with torch.no_grad():
        yield


@contextmanager
def inference(layer):
    with torch.inference_mode():
        yield


@contextmanager
def frozen(layer):
    yield layer.requires_grad_(False)


every_mode = pytest.mark.parametrize("mode", [training, no_grad, inference, frozen])
every_sequence = pytest.mark.parametrize("sequence", SEQUENCES)
OPTIONS = {"plain": {}, "both_directions": {"bidirectional": True}, "two_layers": {"num_layers": 2}}


def data(layer):
    x = torch.randn(T, B, I, dtype=torch.float64)
    with torch.no_grad():
        return x, [torch.rand_like(state) + 0.1 for state in tree_leaves(layer(x)[1])]


def named(y, hx):
    return {"y": y.detach()} | {str(k): state.detach() for k, state in enumerate(tree_leaves(hx))}


@every_mode
@every_sequence
@pytest.mark.parametrize("options", OPTIONS)
@WITH_SEVERAL
def test_a_sequence_is_a_tuple(kind, options, sequence, mode):
    layer = make(kind, **OPTIONS[options])
    x, states = data(layer)
    expected = named(*layer(x, tuple(states)))
    with mode(layer):
        assert_equal_to_1e10(named(*layer(x, SEQUENCES[sequence](states))), expected)


@every_mode
@every_sequence
@kinds("LSTM", "PeepholeLSTM", "SLSTM_heads", "MLSTM")
def test_packed(kind, sequence, mode):
    layer = make(kind)
    x, states = data(layer)
    packed = pack_padded_sequence(x, torch.tensor([2, 3]), enforce_sorted=False)
    y, hx = layer(packed, tuple(states))
    expected = named(y.data, hx)
    with mode(layer):
        y, hx = layer(packed, SEQUENCES[sequence](states))
    assert_equal_to_1e10(named(y.data, hx), expected)


CALLS = {
    "lengths": {"lengths": torch.tensor([2, 3])},
    "resets": {"resets": torch.tensor([[False], [True], [False]]).expand(T, B)},
    "return_states": {"return_states": True},
}


@every_mode
@pytest.mark.parametrize("call", CALLS)
@kinds("LSTM", "PeepholeLSTM", "SLSTM_heads", "MLSTM")
def test_options_of_calls(kind, call, mode):
    layer = make(kind)
    x, states = data(layer)
    expected = named(*layer(x, tuple(states), **CALLS[call])[:2])
    with mode(layer):
        assert_equal_to_1e10(named(*layer(x, list(states), **CALLS[call])[:2]), expected)


@every_mode
@kinds("LSTM", "PeepholeLSTM", "SLSTM_heads", "MLSTM")
def test_initial_states(kind, mode):
    """What resets restore, as a list."""
    layer = make(kind)
    x, states = data(layer)
    resets = CALLS["resets"]["resets"]
    expected = named(*layer(x, resets=resets, initial=tuple(states)))
    with mode(layer):
        assert_equal_to_1e10(named(*layer(x, resets=resets, initial=list(states))), expected)


@every_sequence
@kinds("LSTM", "PeepholeLSTM", "SLSTM_heads", "MLSTM")
def test_streams(kind, sequence):
    layer = make(kind).requires_grad_(False)
    x, states = data(layer)
    state = layer.start(hx=SEQUENCES[sequence](states))
    assert_equal_to_1e10({"y": layer.block(x, state)}, {"y": layer(x, tuple(states))[0]})


@pytest.mark.parametrize("other", OTHERS)
@kinds("LSTM", "PeepholeLSTM", "SLSTM_heads")
def test_what_training_takes_prediction_takes(kind, other):
    """And what one refuses, the other does, by the same error."""
    layer = make(kind)
    x, states = data(layer)
    found = []
    for mode in (training, no_grad, inference, frozen):
        with mode(layer):
            try:
                found.append(named(*layer(x, OTHERS[other](states))))
            except (TypeError, RuntimeError, AttributeError) as error:
                found.append(f"{type(error).__name__}: {error}")
    for result in found[1:]:
        if isinstance(found[0], str):
            assert result == found[0]
        else:
            assert not isinstance(result, str), result
            assert_equal_to_1e10(result, found[0])
