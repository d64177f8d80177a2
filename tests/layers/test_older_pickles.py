"""Layers that an older version pickled: what their version did not have yet is as it is by default."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from custom_cells import MGU, needs_compiler, quickly
from torch import nn

import carrousel
from carrousel import odyssey
from carrousel.cells import ALL

OURS = [name for name in carrousel.layers.__all__ if name not in ("State", "Recurrent")]
LAYERS = {name: getattr(carrousel, name) for name in OURS}
LAYERS |= {
    "own": MGU,
    "FGR": odyssey.FGR,
    "Recurrent": lambda *sizes, **o: carrousel.Recurrent(ALL["lstm"], *sizes, **o),
}
every_layer = pytest.mark.parametrize("name", LAYERS)

# What layers had from the beginning; an MLSTM had no more than its sizes.
FIRST = ["cell", "nonlinearity", "bidirectional", "proj_size"]
SIZES = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "num_heads", "chunk_size"]

X = torch.randn(5, 2, 3)


def as_an_older_version(layer):
    """A copy without the attributes that came later."""
    old = copy.deepcopy(layer)
    first = {*vars(nn.Module()), *SIZES, *([] if isinstance(layer, carrousel.MLSTM) else FIRST)}
    for name in [name for name in vars(old) if name not in first]:
        del vars(old)[name]
    return old


def through_pickle(layer):
    return pickle.loads(pickle.dumps(layer))


def through_a_file(layer):
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


WAYS = {way.__name__: way for way in (copy.copy, copy.deepcopy, through_pickle, through_a_file)}


@every_layer
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_it_comes_back_whole(name, way):
    layer = LAYERS[name](3, 4, num_layers=2, bidirectional=name != "MLSTM")
    found = way(as_an_older_version(layer))
    missing = set(vars(layer)) - set(vars(found)) - {"regularization"}  # whose default the class has
    assert not missing
    assert repr(found) == repr(layer)
    assert all(map(torch.equal, found.parameters(), layer.parameters()))
    assert torch.equal(found(X)[0], layer(X)[0])
    assert torch.equal(copy.deepcopy(found)(X)[0], layer(X)[0])


@every_layer
def test_it_goes_on_as_any_layer(name):
    found = through_pickle(as_an_older_version(LAYERS[name](3, 4)))
    found(X)[0].sum().backward()
    assert all(p.grad is not None for p in found.parameters())
    found.reset_parameters()
    frozen = found.double().requires_grad_(False)
    whole = frozen(X.double())[0]
    torch.testing.assert_close(frozen.block(X.double(), frozen.start(2)), whole, rtol=0, atol=1e-12)
    frozen.load_state_dict(LAYERS[name](3, 4).state_dict())


@needs_compiler
def test_a_compiled_cell():
    with quickly():
        layer = MGU(3, 4, compile=True)
        found = through_pickle(as_an_older_version(layer))
    assert found.compiled
    assert torch.equal(found(X)[0], layer(X)[0])


def test_a_cell_of_before_it_could_feed_back_more_than_h():
    layer = carrousel.PeepholeLSTM(3, 4)
    old = as_an_older_version(layer)
    for field in ("fed", "masks", "normed", "starts", "forget_gate", "input_gate"):
        del vars(old.cell)[field]
    found = through_pickle(old)
    assert found.cell == layer.cell
    assert torch.equal(found(X)[0], layer(X)[0])


def test_what_the_older_version_had_stays():
    layer = carrousel.LSTM(3, 4, num_layers=2, memory="low", learn_initial=True, zoneout=0.1, dropout=0.2)
    found = through_pickle(layer)
    assert repr(found) == repr(layer)
    assert list(found.state_dict()) == list(layer.state_dict())
    assert vars(found)["_fields"] == layer._fields
    assert found.start()._identity == layer.start()._identity, "a copy goes on with the states of the original"
