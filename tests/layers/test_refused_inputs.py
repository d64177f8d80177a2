"""Inputs and states of the wrong kind: every layer says what came and what it expects, and stays as it was."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

import carrousel
from carrousel import odyssey

X = torch.randn(5, 2, 3)
LAYERS = {name: getattr(carrousel, name) for name in carrousel.layers.__all__ if name not in ("State", "Recurrent")}
LAYERS |= {"NIG": odyssey.NIG, "FGR": odyssey.FGR}
UNIT_BY_UNIT = [name for name in LAYERS if name != "MLSTM"]  # which says of its states what shapes they have


def unchanged(layer):
    """What checks that a layer is as it is now."""
    before, expected = {k: p.clone() for k, p in layer.state_dict().items()}, layer(X)[0]

    def check():
        assert all(torch.equal(p, before[name]) for name, p in layer.state_dict().items())
        assert torch.equal(layer(X)[0], expected)

    return check


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    ("x", "what"), [(None, "NoneType"), ([[1.0]], "list of 1"), ("abc", "str"), (X.numpy(), "ndarray")]
)
def test_what_is_no_tensor(name, x, what):
    layer = LAYERS[name](3, 4)
    check = unchanged(layer)
    with pytest.raises(AttributeError, match=f"^{name}: input is a {what}, expected a tensor"):  # torch.nn's type
        layer(x)
    check()


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_not_dense_in_a_stream(name):
    layer = LAYERS[name](3, 4).requires_grad_(False)
    state = layer.start(2)
    layer.block(X, state)
    before = [tensor.clone() for tensor in state._tensors]
    with pytest.raises(
        ValueError, match=rf"^{name}(\.block)?: input has the layout torch.sparse_coo, but must be dense"
    ):
        layer.block(X.to_sparse(), state)
    with pytest.raises((ValueError, RuntimeError)):  # a step asks torch first, and in torch's words
        layer.step(X[0].to_sparse(), state)
    assert all(map(torch.equal, state._tensors, before))


@pytest.mark.parametrize("name", UNIT_BY_UNIT)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("hx", ["abc", 3, [None] * 7, {"h": X}, X.numpy(), ()], ids=lambda hx: type(hx).__name__)
def test_what_are_no_states(name, hx, packed):
    layer = LAYERS[name](3, 4)
    check = unchanged(layer)
    with pytest.raises((AttributeError, IndexError, TypeError), match=f"^{name}: hx is a .*, expected .*h"):
        layer(pack_sequence([X[:, 0], X[:3, 1]]) if packed else X, hx)
    check()


@pytest.mark.parametrize("name", UNIT_BY_UNIT)
def test_a_stream_for_states(name):
    layer = LAYERS[name](3, 4)
    state = layer.start(2)
    with pytest.raises(AttributeError, match=rf"^{name}: hx is a State, expected .*; state.hx\(\) is one"):
        layer(X, state)
    layer(X, state.hx())


@pytest.mark.parametrize("name", LAYERS)
def test_numbers_that_are_not_there(name):
    layer = LAYERS[name](3, 4)
    with pytest.raises(ValueError, match="lengths is on the meta device"):
        layer(X, lengths=torch.tensor([1, 2], device="meta"))
    with pytest.raises(ValueError, match="resets is on the meta device"):
        layer(X, resets=torch.zeros(5, 2, dtype=torch.bool, device="meta"))
