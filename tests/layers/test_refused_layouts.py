"""Tensors that are sparse, nested or in oneDNN's layout: every argument says what came, and what to do."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from custom_cells import MGU
from torch import nn
from torch.func import functional_call
from torch.nn.utils.rnn import pack_sequence

import carrousel

T, B, I, H = 5, 2, 3, 4
X = torch.randn(T, B, I)
OURS = [name for name in carrousel.layers.__all__ if name not in ("State", "Recurrent")]
LAYERS = {name: getattr(carrousel, name) for name in OURS} | {"own": MGU}
every_layer = pytest.mark.parametrize("name", LAYERS)


def nested(tensor, layout=torch.strided):
    return torch.nested.nested_tensor(list(tensor.detach()), layout=layout)


# How a tensor is made so; what the error says of it, and of what to do with an argument {name}.
LAYOUTS = {
    "sparse_coo": (torch.Tensor.to_sparse, r"has the layout torch\.sparse_coo", r"{name}\.to_dense\(\)"),
    "sparse_csr": (torch.Tensor.to_sparse_csr, r"has the layout torch\.sparse_csr", r"{name}\.to_dense\(\)"),
    "onednn": (torch.Tensor.to_mkldnn, r"has the layout torch\._mkldnn", r"{name}\.to_dense\(\)"),
    "nested": (nested, "is a nested tensor", r"{name}\.to_padded_tensor\(0\)"),
    "jagged": (lambda t: nested(t, torch.jagged), "is a nested tensor", r"{name}\.to_padded_tensor\(0\)"),
}
OF_BOOL = [layout for layout in LAYOUTS if layout != "onednn"]
pytestmark = pytest.mark.filterwarnings("ignore:.*(nested tensors|Sparse CSR):UserWarning")


def refused(name, layout, call, prefix=""):
    """The call is refused, which gives a tensor with this layout as the argument `name`."""
    _, is_such, remedy = LAYOUTS[layout]
    escaped = name.replace("[", r"\[").replace("]", r"\]")
    says = rf"^{prefix}{escaped} {is_such}, but must be dense: .*{remedy.format(name=escaped)}"
    with pytest.raises((RuntimeError, ValueError), match=says):
        call()


def with_layout(tensor, layout):
    return LAYOUTS[layout][0](tensor.detach())


def states_of(layer, batch=True):
    _, hx = layer(X if batch else X[:, 0])
    return tuple(state.detach() for state in (hx if isinstance(hx, tuple) else (hx,)))


def one_by_one(states, layout):
    """hx with one state in this layout, and what the state is called."""
    for k, state in enumerate(states):
        if layout == "sparse_csr" and state.dim() > 3:
            continue  # C of an MLSTM: torch has no such tensor
        changed = (*states[:k], with_layout(state, layout), *states[k + 1 :])
        yield (changed, f"[{k}]") if len(states) > 1 else (changed[0], "")


@every_layer
@pytest.mark.parametrize("layout", LAYOUTS)
def test_inputs(name, layout):
    layer = LAYERS[name](I, H)
    x = with_layout(X, layout)
    if layout == "jagged":
        with pytest.raises(RuntimeError, match=r"give layer\(input\.values\(\), offsets=input\.offsets\(\)\)"):
            layer(x)
        y, _ = layer(x.values(), offsets=x.offsets())
        assert torch.equal(y.view(T, B, -1), layer(X.transpose(0, 1))[0].transpose(0, 1))
        return
    refused("input", layout, lambda: layer(x))
    refused("input", layout, lambda: layer(x, lengths=[5, 3]))
    refused("input", layout, lambda: layer(with_layout(X[:, 0], layout)))
    frozen = layer.requires_grad_(False)
    refused("input", layout, lambda: frozen.block(x, frozen.start(B)), rf"{type(layer).__name__}(\.block)?: ")


@every_layer
@pytest.mark.parametrize("layout", LAYOUTS)
def test_states(name, layout):
    layer = LAYERS[name](I, H)
    packed = pack_sequence([X[:3, 0], X[:, 1]], enforce_sorted=False)
    resets = torch.zeros(T, B, dtype=torch.bool)
    for states, place in one_by_one(states_of(layer), layout):
        refused(f"hx{place}", layout, lambda states=states: layer(X, states))
        refused(f"hx{place}", layout, lambda states=states: layer(packed, states))
        refused(f"hx{place}", layout, lambda states=states: layer.requires_grad_(False).start(hx=states))
        refused(f"initial{place}", layout, lambda states=states: layer(X, resets=resets, initial=states))
    for states, place in one_by_one(states_of(layer, batch=False), layout):
        refused(f"hx{place}", layout, lambda states=states: layer(X[:, 0], states))


@every_layer
@pytest.mark.parametrize("layout", OF_BOOL)
def test_resets(name, layout):
    layer, resets = LAYERS[name](I, H), torch.zeros(T, B, dtype=torch.bool)
    refused("resets", layout, lambda: layer(X, resets=with_layout(resets, layout)))
    packed = pack_sequence([X[:, 0], X[:3, 1]])
    refused("resets", layout, lambda: layer(packed, resets=with_layout(resets, layout)))


@every_layer
def test_lengths_and_offsets(name):
    layer = LAYERS[name](I, H)
    refused("lengths", "sparse_coo", lambda: layer(X, lengths=torch.tensor([5, 3]).to_sparse()))
    flat = X.reshape(-1, I)
    refused("offsets", "sparse_coo", lambda: layer(flat, offsets=torch.tensor([0, 4, 10]).to_sparse()))


@every_layer
@pytest.mark.parametrize("layout", ["sparse_coo", "sparse_csr", "onednn"])
def test_weights(name, layout):
    """They are put in place of the parameters in many ways, so nothing looks before something fails.

    Where torch operations compute a layer, some multiply by sparse weights: the numbers are then right.
    """
    layer = LAYERS[name](I, H, num_layers=2)
    for parameter, weight in layer.named_parameters():
        if weight.dim() == 1 and layout == "sparse_csr":
            continue
        changed = {parameter: with_layout(weight, layout)}
        says = rf"^{parameter} {LAYOUTS[layout][1]}, but must be dense: {parameter}\.to_dense\(\)"
        with pytest.raises(RuntimeError, match=says) if fails(layer, changed) else nullcontext():
            torch.testing.assert_close(functional_call(layer, changed, (X,))[0], layer(X)[0])


def fails(layer, changed):
    try:
        functional_call(layer, changed, (X,))
    except RuntimeError:
        return True
    return False


def test_a_weight_that_was_assigned():
    layer = carrousel.LSTM(I, H, num_layers=2)
    layer.weight_ih_l1 = nn.Parameter(layer.weight_ih_l1.detach().to_sparse())
    refused("weight_ih_l1", "sparse_coo", lambda: layer(X))
