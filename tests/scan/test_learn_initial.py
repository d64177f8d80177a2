"""A learned initial state: where it is used, in every layout, its gradients and names, streams that begin with it."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from sequences import CELLS
from torch.autograd import gradcheck
from torch.nn.utils.rnn import pack_sequence
from twins import assert_equal_to_1e10

import carrousel
from carrousel.cells import ALL

T, B, I, H = 6, 3, 3, 5
OPTIONS = {
    "plain": {},
    "stacked_both": {"num_layers": 2, "bidirectional": True},
    "batch_first": {"batch_first": True},
}


def make(cell="lstm", **options):
    """A layer in float64 whose initial states have been learned."""
    layer = carrousel.Recurrent(ALL[cell], I, H, learn_initial=True, dtype=torch.float64, **options)
    for state in layer._initial():
        torch.nn.init.uniform_(state, 0.5, 1.5)
    return layer


def without(layer):
    """The same layer without learning, and its initial states as hx for a batch of `rows`."""
    options = {name: getattr(layer, name) for name in ("num_layers", "bidirectional", "batch_first", "proj_size")}
    plain = carrousel.Recurrent(layer.cell, I, H, dtype=torch.float64, **options)
    weights = {name: w for name, w in layer.state_dict().items() if not name.startswith("initial_")}
    plain.load_state_dict(weights, strict=True)
    return plain


def hx_of(layer, rows):
    states = tuple(state.detach().expand(-1, rows, -1).contiguous() for state in layer._initial())
    return states if len(states) > 1 else states[0]


def data(layer, T=T, B=B):
    return torch.randn(*((B, T) if layer.batch_first else (T, B)), I, dtype=torch.float64)


def named(y, hx):
    states = hx if isinstance(hx, tuple) else (hx,)
    first = {} if y is None else {"y": y.detach()}
    return {**first, **{str(k): state.detach() for k, state in enumerate(states)}}


@pytest.mark.grid(cell=CELLS, options=OPTIONS)
def test_sequences_begin_with_it(cell, options):
    layer = make(cell, **options)
    x = data(layer)
    assert_equal_to_1e10(named(*layer(x)), named(*without(layer)(x, hx_of(layer, B))))


@pytest.mark.grid(cell=CELLS, options=OPTIONS)
def test_what_is_given_comes_first(cell, options):
    layer = make(cell, **options)
    x = data(layer)
    hx = hx_of(layer, B)
    other = tuple(torch.rand_like(state) for state in hx) if isinstance(hx, tuple) else torch.rand_like(hx)
    assert_equal_to_1e10(named(*layer(x, other)), named(*without(layer)(x, other)))
    assert_equal_to_1e10(named(*layer(x, initial=other)), named(*without(layer)(x, other)))


@pytest.mark.parametrize("cell", ["lstm", "gru", "mingru"])
def test_resets_restore_it(cell):
    layer = make(cell, num_layers=2)
    x, resets = data(layer), torch.zeros(T, B, dtype=torch.bool)
    resets[4] = True
    y, hx = layer(x, resets=resets)
    assert_equal_to_1e10({"y": y[:4].detach()}, {"y": layer(x[:4])[0].detach()})
    assert_equal_to_1e10(named(y[4:], hx), named(*layer(x[4:])))
    given = hx_of(layer, B)
    other = tuple(torch.zeros_like(s) for s in given) if isinstance(given, tuple) else torch.zeros_like(given)
    y, _ = layer(x, other, resets=resets)
    assert_equal_to_1e10({"y": y[4:].detach()}, {"y": layer(x[4:])[0].detach()})


def test_in_every_form_of_input():
    layer = make(num_layers=2)
    x = data(layer)
    y, (h, c) = layer(x)
    one, (h_one, c_one) = layer(x[:, 1])
    assert_equal_to_1e10(named(one, (h_one, c_one)), named(y[:, 1], (h[:, 1], c[:, 1])))
    rows = [x[:n, k] for k, n in enumerate((2, 6, 4))]
    packed, (h_packed, _) = layer(pack_sequence(rows, enforce_sorted=False))
    padded, (h_padded, _) = layer(x, lengths=[2, 6, 4])
    flat, (h_flat, _) = layer(torch.cat(rows), offsets=[0, 2, 8, 12])
    for k, row in enumerate(rows):
        alone, (h_alone, _) = layer(row)
        assert_equal_to_1e10({"y": padded[: len(row), k].detach()}, {"y": alone.detach()})
        for final in (h_packed, h_padded, h_flat):
            assert_equal_to_1e10({"h": final[:, k].detach()}, {"h": h_alone.detach()})
    assert packed.data.shape == flat.shape
    with_none = layer(x, lengths=[0, 6, 6])[1][0]
    assert torch.equal(with_none[:, 0], layer.initial_h[:, 0])


@pytest.mark.parametrize("cell", ["lstm", "gru", "minlstm"])
def test_gradients(cell):
    layer = make(cell, num_layers=2, bidirectional=True)
    x, resets = data(layer, 4, 2), torch.zeros(4, 2, dtype=torch.bool)
    resets[2, 1] = True
    names = layer._initial_names

    def outputs(*states):
        found = torch.func.functional_call(layer, dict(zip(names, states, strict=True)), (x,), {"resets": resets})
        return found[0]

    assert gradcheck(outputs, layer._initial())


def test_without_a_gradient_it_is_frozen():
    layer = make()
    layer.initial_h.requires_grad_(False)
    layer(data(layer))[0].sum().backward()
    assert layer.initial_h.grad is None
    assert layer.initial_c.grad.any()


def test_names_shapes_and_beginning():
    layer = carrousel.LSTM(I, H, num_layers=2, bidirectional=True, proj_size=2, learn_initial=True)
    names = list(layer.state_dict())
    assert names[-2:] == ["initial_h", "initial_c"]
    assert "initial_h" not in [name for names in layer._all_weights for name in names]
    assert (layer.initial_h.shape, layer.initial_c.shape) == ((4, 1, 2), (4, 1, H))
    assert not layer.initial_h.any()
    assert not layer.initial_c.any()
    plain = carrousel.LSTM(I, H, num_layers=2, bidirectional=True, proj_size=2)
    assert names[:-2] == list(plain.state_dict())


def test_the_weights_are_drawn_as_without():
    torch.manual_seed(3)
    plain = carrousel.GRU(I, H).state_dict()
    torch.manual_seed(3)
    learning = carrousel.GRU(I, H, learn_initial=True).state_dict()
    assert all(torch.equal(learning[name], weight) for name, weight in plain.items())


@pytest.mark.parametrize("way", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies(way):
    layer = make(num_layers=2)
    x = data(layer)
    assert torch.equal(way(layer)(x)[0], layer(x)[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_in_other_types(dtype):
    """Where torch's own functions compute, too."""
    layer = make().to(dtype)
    x = data(layer).to(dtype)
    hx = tuple(state.to(dtype) for state in hx_of(layer, B))
    assert torch.equal(layer(x)[0], layer(x, hx)[0])


def test_compiles():
    layer = make("gru")
    x = data(layer)
    whole = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(whole(x)[0], layer(x)[0])


# ---- streams


@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole"])
def test_streams_begin_with_it(cell):
    layer = make(cell, num_layers=2).requires_grad_(False)
    x, state = data(layer), layer.start(B)
    y, hx = layer(x)
    torch.testing.assert_close(torch.stack([layer.step(one, state) for one in x]), y, rtol=0, atol=1e-12)
    state.reset([1])
    assert_equal_to_1e10(row(state, 1), row(layer.start(1), 0))
    assert_equal_to_1e10(row(state, 2), named(None, tuple(s[:, 2] for s in hx) if isinstance(hx, tuple) else hx[:, 2]))


def row(state, k):
    hx = state.hx()
    return named(None, tuple(s[:, k] for s in hx) if isinstance(hx, tuple) else hx[:, k])


def test_what_is_made_of_a_state_begins_anew_alike(tmp_path):
    layer = make().requires_grad_(False)
    state = layer.start(2)
    layer.block(data(layer, 3, 2), state)
    state.save(tmp_path / "state")
    made = {
        "clone": state.clone(),
        "rows": state[[1, 0]],
        "cat": carrousel.State.cat([state, state]),
        "pickle": pickle.loads(pickle.dumps(state)),
        "load": carrousel.State.load(tmp_path / "state", layer),
        "hx": layer.start(hx=state.hx()),
    }
    for other in made.values():
        other.reset()
        assert_equal_to_1e10(row(other, 0), row(layer.start(1), 0))
    single = state.to(torch.float32)
    single.reset()
    torch.testing.assert_close(single.hx()[0].double(), layer.start(2).hx()[0], rtol=0, atol=1e-6)


def test_a_stream_keeps_the_beginning_that_it_began_with():
    layer = make().requires_grad_(False)
    state, before = layer.start(1), layer.start(1)
    layer.initial_h += 1.0
    state.reset()
    assert_equal_to_1e10(row(state, 0), row(before, 0))
    assert not torch.equal(layer.start(1).hx()[0], before.hx()[0])
