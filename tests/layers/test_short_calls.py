"""Calls without gradients go a shorter way from the second on: the same bits, whatever has changed in between."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn.utils import parametrizations
from torch.utils._python_dispatch import TorchDispatchMode

import carrousel
from carrousel.fused import instruction_set, instruction_sets, use_instruction_set
from carrousel.fused.kernels import KERNELS

pytestmark = pytest.mark.skipif(not KERNELS, reason="there are no short calls without kernels")

LAYERS = {
    "lstm": lambda: carrousel.LSTM(3, 8),
    "batch_first": lambda: carrousel.LSTM(3, 8, batch_first=True),
    "projected": lambda: carrousel.LSTM(3, 8, proj_size=5),
    "no_bias": lambda: carrousel.LSTM(3, 8, bias=False),
    "gru": lambda: carrousel.GRU(3, 20),
    "rnn": lambda: carrousel.RNN(3, 8),
    "peephole": lambda: carrousel.PeepholeLSTM(3, 8),
    "layer_norm": lambda: carrousel.LayerNormLSTM(3, 8),
    "slstm": lambda: carrousel.SLSTM(3, 8),
    "minlstm": lambda: carrousel.MinLSTM(3, 8),
    "float64": lambda: carrousel.LSTM(3, 8, dtype=torch.float64),
}


def long_way(layer, *call, **options):
    """A call of a copy, which has made none before."""
    return copy.deepcopy(layer)(*call, **options)


def flat(results):
    return [results] if isinstance(results, torch.Tensor) else [t for part in results for t in flat(part)]


def assert_same(a, b):
    for one, other in zip(flat(a), flat(b), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def warmed(layer, x, hx=None):
    """The layer after a call that leaves something behind."""
    with torch.no_grad():
        layer(x, hx)
        assert layer._short_calls.run(layer._parameters, x, hx) is not None, "the next call is a short one"
    return layer


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("B", [1, 3])
def test_short_calls_return_the_same(kind, B):
    layer = LAYERS[kind]()
    dtype = layer.weight_ih_l0.dtype
    x = torch.randn(B, 3, 3, dtype=dtype) if layer.batch_first else torch.randn(3, B, 3, dtype=dtype)
    with torch.no_grad():
        y, hx = long_way(layer, x)
        warmed(layer, x)
        again = torch.randn_like(x)
        assert_same(layer(x), (y, hx))
        assert_same(layer(again, hx), long_way(layer, again, hx))
        assert_same(layer(again), long_way(layer, again))
    with torch.inference_mode():
        assert_same(layer(again, hx), long_way(layer, again, hx))


def test_results_are_new_each_time():
    layer, x = carrousel.LSTM(3, 8), torch.randn(4, 2, 3)
    warmed(layer, x)
    with torch.no_grad():
        y, (h, c) = layer(x)
        before = y.clone(), (h.clone(), c.clone())
        layer(2 * x, (h, c))
    assert_same((y, (h, c)), before)


def add_in_place(layer):
    with torch.no_grad():
        layer.weight_hh_l0.add_(0.1)


def write_data(layer):
    layer.weight_hh_l0.data[0, 0] += 1


def set_data(layer):
    layer.weight_hh_l0.data = layer.weight_hh_l0.data + 0.1


def set_data_to_a_view(layer):
    layer.weight_ih_l0.data = layer.weight_ih_l0.data.t().contiguous().t()


def transpose_data(layer):
    square = torch.randn(32, 32)
    layer.weight_hh_l0.data = square[:, :8]


def replace_parameter(layer):
    layer.bias_ih_l0 = nn.Parameter(torch.randn(32))


def load(layer):
    layer.load_state_dict(carrousel.LSTM(3, 8).state_dict())


def normalise(layer):
    parametrizations.weight_norm(layer, "weight_hh_l0")


def train_a_step(layer):
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    layer(torch.randn(4, 2, 3))[0].sum().backward()
    optimizer.step()


CHANGES = [
    add_in_place,
    write_data,
    set_data,
    set_data_to_a_view,
    transpose_data,
    replace_parameter,
    load,
    normalise,
    train_a_step,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changed_weights_are_read(change):
    layer, x = carrousel.LSTM(3, 8), torch.randn(4, 2, 3)
    warmed(layer, x)
    change(layer)
    with torch.no_grad():
        expected = layer._run(x, None, carrousel.scan.rows.DENSE, carrousel.scan.options.PLAIN, None, None)[:2]
        for _ in range(2):
            assert_same(layer(x), expected)


def test_a_view_of_the_same_memory_is_noticed():
    layer, x = carrousel.RNN(4, 4), torch.randn(4, 2, 4)
    warmed(layer, x)
    layer.weight_hh_l0.data = layer.weight_hh_l0.data.t()
    with torch.no_grad():
        assert_same(layer(x), long_way(layer, x))
    layer.weight_hh_l0.data = layer.weight_hh_l0.data.t()[:2]
    with torch.no_grad(), pytest.raises(ValueError, match=r"weight_hh|R "):
        layer(x)


def test_the_layer_moves_to_another_dtype():
    layer, x = carrousel.LSTM(3, 8), torch.randn(4, 2, 3)
    warmed(layer, x).double()
    with torch.no_grad():
        with pytest.raises(ValueError, match="dtype"):
            layer(x)
        assert_same(layer(x.double()), long_way(layer, x.double()))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
        lambda x: torch._neg_view(x),
        lambda x: torch._efficientzerotensor(x.shape),
        lambda x: nn.Parameter(x, requires_grad=False),
    ],
    ids=["strided", "negated", "zeros", "parameter"],
)
def test_other_forms_of_input(view):
    layer, x = carrousel.LSTM(3, 8), torch.randn(4, 2, 3)
    warmed(layer, x)
    with torch.no_grad():
        assert_same(layer(view(x)), long_way(layer, view(x)))
        h = torch.randn(1, 2, 8)
        warmed(layer, x, (h, h))
        assert_same(layer(x, (view(h), h)), long_way(layer, x, (view(h), h)))


@pytest.mark.parametrize(
    ("hx", "error"),
    [
        ((torch.zeros(1, 2, 8),), IndexError),
        ((torch.zeros(1, 2, 7), torch.zeros(1, 2, 8)), RuntimeError),
        ((torch.zeros(1, 2, 8).double(), torch.zeros(1, 2, 8)), (RuntimeError, ValueError)),
    ],
)
def test_states_that_do_not_fit_are_refused_as_before(hx, error):
    layer, x = carrousel.LSTM(3, 8), torch.randn(4, 2, 3)
    warmed(layer, x)
    with torch.no_grad():
        with pytest.raises(error) as first:
            long_way(layer, x, hx)
        with pytest.raises(error) as second:
            layer(x, hx)
    assert str(first.value) == str(second.value)


def test_gradients_are_computed_where_they_are_enabled():
    layer, x = carrousel.LSTM(3, 8), torch.randn(4, 2, 3)
    warmed(layer, x)
    layer(x)[0].sum().backward()
    assert layer.weight_hh_l0.grad is not None


def test_under_autocast():
    layer, x = carrousel.LSTM(3, 64), torch.randn(4, 2, 3)
    warmed(layer, x)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert layer(x)[0].dtype == torch.bfloat16
    with torch.no_grad():
        assert layer(x)[0].dtype == torch.float32


def test_under_transforms_modes_and_functional_calls():
    layer, x = carrousel.LSTM(3, 8), torch.randn(4, 2, 3)
    warmed(layer, x)
    with torch.no_grad():
        expected = long_way(layer, x)[0]
        batched = vmap(lambda one: layer(one)[0])(torch.stack([x, 2 * x]))
        torch.testing.assert_close(batched[0], expected)
        others = {name: torch.zeros_like(p) for name, p in layer.named_parameters()}
        assert not functional_call(layer, others, (x,))[0].any()

        seen = []

        class Mode(TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                seen.append(str(func))
                return func(*args, **(kwargs or {}))

        with Mode():
            layer(x)
        assert any("carrousel" in name for name in seen)
        assert_same(torch.jit.trace(layer, x, check_trace=False)(2 * x), long_way(layer, 2 * x))


def test_copies_have_nothing_of_the_original():
    layer, x = carrousel.LSTM(3, 8), torch.randn(4, 2, 3)
    warmed(layer, x)
    for other in (copy.deepcopy(layer), copy.copy(layer), pickle.loads(pickle.dumps(layer))):
        with torch.no_grad():
            assert_same(other(x), layer(x))
            other.weight_hh_l0.zero_() if other is not layer and other.weight_hh_l0 is not layer.weight_hh_l0 else None
            assert_same(other(x), long_way(other, x))


def test_hooks_run():
    layer, x, calls = carrousel.LSTM(3, 8), torch.randn(4, 2, 3), []
    warmed(layer, x)
    layer.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        layer(x)
    assert calls == [1]


def test_dropout_and_masks_of_training_act():
    layer, x = carrousel.LSTM(3, 8, recurrent_dropout=0.5), torch.randn(4, 2, 3)
    with torch.no_grad():
        assert not torch.equal(layer(x)[0], layer(x)[0])
    stacked = carrousel.LSTM(3, 8, 2, dropout=0.5)
    with torch.no_grad():
        assert not torch.equal(stacked(x)[0], stacked(x)[0])


def test_another_instruction_set():
    layer, x = carrousel.LSTM(3, 8), torch.randn(4, 2, 3)
    warmed(layer, x)
    before = instruction_set()
    try:
        for name in instruction_sets():
            use_instruction_set(name)
            with torch.no_grad():
                assert_same(layer(x), long_way(layer, x))
    finally:
        use_instruction_set(before)


def test_many_shapes_do_not_pile_up():
    layer = carrousel.LSTM(3, 8)
    with torch.no_grad():
        for T in range(1, 200):
            layer(torch.randn(T, 1, 3))
    assert len(layer._short_calls.by_shape) <= 64
