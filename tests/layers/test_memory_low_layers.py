"""memory="low" as an option of layers: the bits of memory="full" in every call, and what it does to the layer."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from sequences import assert_same_bits, same_bits
from torch.nn.utils.rnn import pack_padded_sequence
from twins import scalar_of

import carrousel

MASKED = {"recurrent_dropout": 0.2, "variational_dropout": 0.3, "drop_connect": 0.3}
LAYERS = {
    "LSTM": lambda **o: carrousel.LSTM(3, 7, **o),
    "LSTM_projected": lambda **o: carrousel.LSTM(3, 7, proj_size=4, **o),
    "GRU": lambda **o: carrousel.GRU(3, 7, **o),
    "RNN": lambda **o: carrousel.RNN(3, 7, nonlinearity="relu", **o),
    "PeepholeLSTM": lambda **o: carrousel.PeepholeLSTM(3, 7, **o),
    "LSTM1997": lambda **o: carrousel.LSTM1997(3, 7, **o),
    "LSTM_masked": lambda **o: carrousel.LSTM(3, 7, **MASKED, zoneout=(0.3, 0.2), **o),
    "LSTM_masked_projected": lambda **o: carrousel.LSTM(3, 7, proj_size=4, **MASKED, zoneout=(0.3, 0.0), **o),
    "GRU_masked": lambda **o: carrousel.GRU(3, 7, **MASKED, zoneout=0.2, **o),
}
OPTIONS = {
    "plain": {},
    "stacked_both": {"num_layers": 2, "bidirectional": True},
    "batch_first_dropout": {"batch_first": True, "num_layers": 2, "dropout": 0.5},
}
CALLS = {
    "plain": {},
    "lengths": {"lengths": [3, 0, 6, 5]},
    "resets": {"resets": True},
    "states": {"return_states": True},
    "gates": {"return_gates": True},
    "packed": {"packed": True},
}


def results(layer, x, call):
    """All that a layer returns, and all its gradients."""
    call = dict(call)
    if call.pop("packed", False):
        x = pack_padded_sequence(x, [6, 5, 5, 2], layer.batch_first)
    if "resets" in call:
        call["resets"] = torch.arange(x.shape[0] * x.shape[1]).reshape(x.shape[:2]) % 3 == 0
    torch.manual_seed(0)
    flat = torch.utils._pytree.tree_leaves(tuple(layer(x, **call)))
    tensors = [t for t in flat if isinstance(t, torch.Tensor)]
    outputs = [t for t in tensors if t.is_floating_point()]
    gradients = torch.autograd.grad(scalar_of(outputs), list(layer.parameters()), allow_unused=True)
    return {str(k): t.detach() for k, t in enumerate((*outputs, *(g for g in gradients if g is not None)))}


@pytest.mark.grid(layer=LAYERS, options=OPTIONS, call=CALLS)
def test_layers(layer, options, call):
    full, less = layer(**options), layer(**options, memory="low")
    less.load_state_dict(full.state_dict())
    x = torch.randn(4, 6, 3) if less.batch_first else torch.randn(6, 4, 3)
    assert_same_bits(results(less, x, call), results(full, x, call))


@pytest.mark.parametrize("layer", LAYERS)
def test_compiled_layers(layer):
    torch.compiler.reset()
    made, x = LAYERS[layer](memory="low"), torch.randn(6, 4, 3)
    expected = results(made, x, {})
    made.compile(fullgraph=True, backend="aot_eager")
    assert_same_bits(results(made, x, {}), expected)


@pytest.mark.parametrize("batch_first", [True, False])
def test_directions_keep_the_output_itself(batch_first):
    """The output is no copy of theirs until it is written to, and may be changed in place before the backward pass."""
    sizes, x = {"bidirectional": True, "batch_first": batch_first}, torch.randn(6, 4, 3)
    less, full = carrousel.LSTM(3, 7, memory="low", **sizes), carrousel.LSTM(3, 7, **sizes)
    full.load_state_dict(less.state_dict())
    y, _, inside = less(x, return_states=True)
    storage = torch._C._data_address  # where it begins; data_ptr would make the copy
    assert [storage(h) for h in inside.h] == [storage(y)] * 2
    assert same_bits(torch.cat(inside.h, -1), y)
    for layer, output in ((less, y), (full, full(x)[0])):
        output.mul_(2).sum().backward()
        assert same_bits(layer(x)[0].detach(), output.detach() / 2)
    assert_same_bits({n: p.grad for n, p in less.named_parameters()}, {n: p.grad for n, p in full.named_parameters()})


def test_eval_and_checkpointing():
    layer, x = carrousel.LSTM(3, 7, memory="low"), torch.randn(6, 4, 3)
    expected = results(layer, x, {})
    assert_same_bits(results(layer.eval(), x, {}), expected)

    def again(x, **call):
        return torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False, **call)

    again.parameters, again.batch_first = layer.parameters, False
    assert_same_bits(results(again, x, {}), expected)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_option_is_part_of_the_layer(layer):
    made = LAYERS[layer](memory="low")
    assert "memory='low'" in repr(made)
    assert "memory" not in repr(LAYERS[layer]())
    assert list(made.state_dict()) == list(LAYERS[layer]().state_dict())
    assert copy.deepcopy(made).memory == pickle.loads(pickle.dumps(made)).memory == "low"


def test_own_layers():
    @carrousel.cell(rows="a", states="h")
    def Elman(rows, states):
        return (torch.tanh(rows[0]),)

    assert Elman(3, 7, memory="low").memory == "low"


@pytest.mark.parametrize("memory", ["lowest", None, True, 1])
@pytest.mark.parametrize("layer", LAYERS)
def test_other_values_are_refused(layer, memory):
    with pytest.raises(ValueError, match=r"memory=.*choose one of \('full', 'low'\)"):
        LAYERS[layer](memory=memory)
