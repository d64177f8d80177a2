"""Layers in the place of `torch.nn`'s are copied, saved, and moved to other types and devices as those are."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from twins import KINDS, OURS, Size, assert_equal_to_1e10, make_example, make_twins, run, states_of

import carrousel

SIZE = Size(T=4, B=3, I=5, H=6)


def through_pickle(layer):
    return pickle.loads(pickle.dumps(layer))


def through_a_file(layer):
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def through_a_state_dict(layer):
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    fresh = type(layer)(layer.input_size, layer.hidden_size, num_layers=layer.num_layers)
    fresh.load_state_dict(torch.load(file, weights_only=True), strict=True)
    return fresh


@pytest.mark.grid(
    name=OURS,
    way={f.__name__: f for f in (copy.copy, copy.deepcopy, through_pickle, through_a_file, through_a_state_dict)},
)
def test_a_copy_keeps_its_weights(name, way):
    """And computes with its own: writing into the copy leaves the original alone."""
    layer = getattr(carrousel, name)(5, 6, num_layers=2)
    example = make_example(layer, SIZE)
    expected = run(layer, example)
    twin = way(layer)
    got = run(twin, example)
    assert all(torch.equal(got[key], expected[key]) for key in expected)
    assert (twin.weight_hh_l0 is layer.weight_hh_l0) == (way is copy.copy)
    if way is not copy.copy:
        with torch.no_grad():
            twin.weight_hh_l0.zero_()
        assert layer.weight_hh_l0.any(), "the copy writes into the original"
        changed = run(twin, example)
        assert not torch.equal(changed["y"], expected["y"]), "the copy computes with the original's weights"


@pytest.mark.parametrize("name", OURS)
def test_a_deepcopy_of_a_used_layer(name):
    """After forward and backward, when whatever a layer remembers of its last call is there."""
    layer = getattr(carrousel, name)(5, 6)
    example = make_example(layer, SIZE)
    expected = run(layer, example)
    twin = copy.deepcopy(layer)
    assert torch.equal(run(twin, example)["y"], expected["y"])


@pytest.mark.parametrize("kind", KINDS)
def test_conversion_of_the_type(kind):
    """float64 and back; after each, the weights that it computes with are the ones it shows."""
    ours, theirs = make_twins(kind, SIZE, num_layers=2)
    example = make_example(theirs, SIZE)
    run(ours, example)  # so that anything remembered is of the old type
    assert_equal_to_1e10(run(ours.double(), example), run(theirs.double(), example))
    assert_equal_to_1e10(run(ours.to(torch.float64), example), run(theirs, example))
    assert {p.dtype for p in ours.float().parameters()} == {torch.float32}
    assert run(ours, example)["y"].dtype == torch.float32


@pytest.mark.grid(kind=list(KINDS), dtype=[torch.bfloat16, torch.float16])
def test_half_precision_runs(kind, dtype):
    """By torch's operations, to the type's own accuracy: seven or ten bits, over four steps."""
    ours, theirs = make_twins(kind, SIZE)
    example = make_example(theirs, SIZE)
    exact = run(theirs.double(), example)
    for name, got in run(ours.to(dtype), example).items():
        assert got.dtype == dtype
        assert (got.double() - exact[name]).abs().max() <= 16 * torch.finfo(dtype).eps * exact[name].abs().max()


@pytest.mark.parametrize("name", OURS)
def test_meta_device_on_the_way(name):
    """Built without memory, then given memory and weights: what large models' loaders do."""
    source = getattr(carrousel, name)(5, 6, num_layers=2)
    example = make_example(source, SIZE)
    expected = run(source, example)
    for build in (empty_then_loaded, assigned):
        layer = build(getattr(carrousel, name), source.state_dict())
        got = run(layer, example)
        assert all(torch.equal(got[key], expected[key]) for key in expected), build.__name__


def empty_then_loaded(layer_class, state):
    layer = layer_class(5, 6, num_layers=2, device="meta")
    assert {p.device.type for p in layer.parameters()} == {"meta"}
    layer = layer.to_empty(device="cpu")
    layer.load_state_dict(state)
    return layer


def assigned(layer_class, state):
    with torch.device("meta"):
        layer = layer_class(5, 6, num_layers=2)
    layer.load_state_dict({key: value.clone() for key, value in state.items()}, assign=True)
    return layer


@pytest.mark.parametrize("name", OURS)
def test_meta_forward_gives_shapes(name):
    layer = getattr(carrousel, name)(5, 6, num_layers=2, bidirectional=True, device="meta")
    y, states = layer(torch.empty(4, 3, 5, device="meta"))
    assert y.shape == (4, 3, 12)
    assert [s.shape for s in (states if isinstance(states, tuple) else (states,))] == [(4, 3, 6)] * states_of(layer)
    assert y.device.type == "meta"
