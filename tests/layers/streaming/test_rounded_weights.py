"""Streams that read their weights in bfloat16 or int8: they are the layer whose weights were rounded."""

from __future__ import annotations

import copy
import pickle

import pytest
import runs
import torch
from custom_cells import AWKWARD, compiled, needs_compiler
from streams import assert_same, data, layer_of, steps, tuple_of, without_gradients

import carrousel
from carrousel import State, tasks
from carrousel.cells import ALL
from carrousel.data.stdlib import stdlib
from carrousel.fused.kernels import KERNELS
from carrousel.training.trained import load

no_gradients = pytest.fixture(autouse=True)(without_gradients)
pytestmark = pytest.mark.skipif(not KERNELS, reason="only kernels read rounded weights")

CELLS = [name for name, cell in ALL.items() if not cell.normed]
BOUNDS = {"bfloat16": 2e-5, "int8": 2e-3}  # int8 rounds x and h, too, to 16 bits
SIZES = {"H7_odd": (3, 7), "H40": (2, 40), "I70_wide": (70, 9)}


def round_weight(weight, how):
    if how == "bfloat16":
        return weight.bfloat16().float()
    scale = weight.abs().amax(1, keepdim=True) / 127
    return (weight / scale).round() * scale


def rounded(layer, how):
    """A copy of a layer, with its matrices rounded by plain definitions."""
    of = copy.deepcopy(layer)
    for name, parameter in of.named_parameters():
        if parameter.dim() == 2 and name.startswith("weight"):
            parameter.copy_(round_weight(parameter, how))
    return of


def assert_near(a, b, how):
    for one, other in zip(tuple_of(a), tuple_of(b), strict=True):
        torch.testing.assert_close(one, other, rtol=BOUNDS[how], atol=BOUNDS[how])


@pytest.mark.grid(cell=CELLS, size=list(SIZES), B=[1, 3], layers=[1, 2], how=list(BOUNDS))
def test_it_is_the_layer_with_rounded_weights(cell, size, B, layers, how):
    layer = layer_of(cell, *SIZES[size], num_layers=layers)
    x = data(layer, 7, B)
    y, hx = rounded(layer, how)(x)
    by_step, by_block = layer.start(B, weights=how), layer.start(B, weights=how)
    of_steps = steps(layer, x, by_step)
    assert_near(of_steps, y, how)
    assert_near(by_step.hx(), hx, how)
    assert_same(torch.cat([layer.block(x[:2], by_block), layer.block(x[2:], by_block)]), of_steps)
    assert_same(by_block.hx(), by_step.hx())


@pytest.mark.parametrize("how", BOUNDS)
@pytest.mark.parametrize("option", [{"proj_size": 5}, {"bias": False}, {"batch_first": True}], ids=str)
def test_options(option, how):
    layer = layer_of("lstm", 5, 19, num_layers=2, **option)
    x = data(layer, 6, 4)
    hx = tuple(torch.randn(2, 4, width) for width in (option.get("proj_size", 19), 19))
    state = layer.start(hx=hx, weights=how)
    y, final = rounded(layer, how)(x, hx)
    assert_near(layer.block(x, state), y, how)
    assert_near(state.hx(), final, how)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("own", AWKWARD, ids=lambda cell: cell.name)
@pytest.mark.parametrize("how", BOUNDS)
def test_cells_compiled_at_run_time(own, how):
    layer = carrousel.Recurrent(compiled(*AWKWARD)[own.name], 3, 20).eval()
    x, state = data(layer, 5, 2), layer.start(2, weights=how)
    assert_near(layer.block(x, state), rounded(layer, how)(x)[0], how)


@pytest.mark.parametrize("how", BOUNDS)
def test_weights_that_change_are_rounded_again(how):
    layer = layer_of("gru", 3, 20)
    x, state = data(layer, 2, 1), layer.start(weights=how)
    layer.step(x[0], state)
    for parameter in layer.parameters():
        parameter.mul_(0.5)
    fresh = layer.start(hx=state.hx(), weights=how)
    assert_same(layer.step(x[1], state), layer.step(x[1], fresh))


def test_streams_of_one_layer_read_it_in_different_ways():
    layer = layer_of("lstm", 3, 20)
    x = data(layer, 5, 1)
    states = {how: layer.start(weights=how) for how in (None, *BOUNDS)}
    found = {how: torch.stack([layer.step(row, state) for row in x]) for how, state in states.items()}
    assert_same(found[None], layer(x)[0])
    for how in BOUNDS:
        again = layer.start(weights=how)
        assert_same(layer.block(x, again), found[how])
        assert not torch.equal(found[how], found[None])


def test_a_state_remembers_how_it_reads_weights(tmp_path):
    layer = layer_of("lstm", 3, 20)
    x, state = data(layer, 2, 2), layer.start(2, weights="int8")
    layer.step(x[0], state)
    state.save(tmp_path / "state")
    others = [
        state.clone(),
        pickle.loads(pickle.dumps(state)),
        State.load(tmp_path / "state", layer),
        State.cat([state[:1], state[1:]]),
        state.to(torch.float64).to(torch.float32),
    ]
    expected = layer.step(x[1], state)
    for other in others:
        assert "weights='int8'" in repr(other)
        assert_same(layer.step(x[1], other), expected)
    with pytest.raises(ValueError, match="one state reads weights='int8', another weights=None"):
        State.cat([state, layer.start()])


@pytest.mark.parametrize(
    ("layer", "weights", "words"),
    [
        (lambda: layer_of(), "float16", "weights='float16' is not one of 'bfloat16', 'int8'"),
        (lambda: layer_of(), ["int8"], "is not one of 'bfloat16', 'int8'"),
        (lambda: layer_of(dtype=torch.float64), "int8", "is for float32 on the CPU, but the layer is torch.float64"),
        (lambda: layer_of("layer_norm_lstm"), "int8", "no kernel reads rounded weights for this layer"),
        (lambda: carrousel.MLSTM(4, 8), "bfloat16", "no kernel reads rounded weights for this layer"),
        (lambda: carrousel.SLSTM(4, 8, num_heads=2), "int8", "no kernel reads rounded weights for this layer"),
    ],
    ids=["typo", "list", "float64", "normed", "mlstm", "heads"],
)
def test_what_cannot_be_rounded_is_refused(layer, weights, words):
    with pytest.raises(ValueError, match=words):
        layer().start(weights=weights)


def test_a_traced_step_does_not_read_other_weights_in_silence():
    layer, x = layer_of(), torch.randn(1, 3)
    state = layer.start(weights="int8")
    with pytest.raises(RuntimeError, match="the state reads weights='int8', which only kernels do"):
        torch.jit.trace(lambda x: layer.step(x, state), x, check_trace=False)
    with pytest.raises(ValueError, match=r"state\.to"):
        layer.double().step(x.double(), state)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_hidden(bad):
    layer = layer_of("rnn_tanh", 3, 20)
    x = torch.randn(2, 3)
    x[1, 0] = bad
    y = layer.step(x, layer.start(2, weights="int8"))
    assert y[0].isfinite().all()
    assert y[1].isnan().all()


# ---- a trained model


def nats_by_stream(model, codes, weights):
    """Nats a symbol of a text [N], read by a stream."""
    with torch.inference_mode():
        state = model.recurrent.start(weights=weights)
        features = model.recurrent.block(model.table[codes[:-1]], state)
        return torch.nn.functional.cross_entropy(model.output(features), codes[1:]).item()


@pytest.mark.slow
def test_a_trained_model_loses_next_to_nothing(tmp_path):
    """The figures that streaming.md promises, on a model of 256 units after a short training."""
    with torch.enable_grad():
        runs.train(None, tmp_path / "run", stdlib=True, characters=300_000, hidden=256, batch=32, length=64, steps=300)
    trained = load(tmp_path / "run", tasks.ALL)
    text = stdlib()[300_000:320_000]
    known = trained.facts["symbols"]
    codes = tasks.text.encode(trained, "".join(symbol for symbol in text if symbol in known), "text")
    exact = nats_by_stream(trained.model, codes, None)
    assert exact < 2.5, "it has learned"
    assert abs(nats_by_stream(trained.model, codes, "bfloat16") - exact) < 0.002
    assert abs(nats_by_stream(trained.model, codes, "int8") - exact) < 0.01
