"""Recurrent and variational dropout, zoneout, DropConnect: the papers, seeds, every way to call."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import torch
from regularized import ALL_OF, F64, KINDS, OPTIONS, RATES, B, H, I, T, assert_same, make
from sequences import same_bits
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carrousel.scan.masks import FED_BACK, INPUT, RECURRENT_WEIGHTS, Masks, dropout_mask, sample_mask, zoneout_mask

# ---- the papers -----------------------------------------------------------------------------------------------------


def drawn(seed: int, place: int, how, number: int, step: int, rows: int, width: int) -> np.ndarray:
    """A mask [rows, width]."""
    masks, like = Masks(torch.tensor(seed), place), torch.zeros((), dtype=F64)
    mask = sample_mask(masks, how, number, step, torch.arange(rows), width, like)
    return mask.numpy() if isinstance(mask, torch.Tensor) else np.full((rows, width), mask)


def layer_by_hand(layer, x: np.ndarray, seed: int, place: int, rates: dict) -> np.ndarray:
    """One layer and direction on x [T, B, I], from zeros: the papers' equations, their masks drawn one by one."""
    names = layer._fields[place // (1 + layer.bidirectional)][place % (1 + layer.bidirectional)]
    values = [layer.get_parameter(name).detach().numpy() for name in names[:4]]
    weights = dict(zip(("W", "R", "b_x", "b_h"), values, strict=True))
    of_x, of_h = rates["variational_dropout"]
    connected = drawn(seed, place, dropout_mask(rates["drop_connect"]), RECURRENT_WEIGHTS, 0, *weights["R"].shape)
    x = x * drawn(seed, place, dropout_mask(of_x), INPUT, 0, *x.shape[1:])
    fed_back = drawn(seed, place, dropout_mask(of_h), FED_BACK, 0, x.shape[1], H)
    zoneout = rates["zoneout"] if isinstance(rates["zoneout"], tuple) else (rates["zoneout"],)
    of_cell = [dropout_mask(rates["recurrent_dropout"]), *map(zoneout_mask, zoneout)]
    step = oracle.STEPS["regularized_lstm" if len(of_cell) == 3 else "regularized_gru"]
    states = [(np.zeros(H),) * len(layer.cell.states)] * x.shape[1]
    order = reversed(range(len(x))) if place % 2 and layer.bidirectional else range(len(x))
    y = np.zeros((*x.shape[:2], H))
    for t in order:
        masks = [drawn(seed, place, how, k, t, x.shape[1], H) for k, how in enumerate(of_cell)]
        for b in range(x.shape[1]):
            masked = weights | {"R": weights["R"] * connected * fed_back[b], "masks": [mask[b] for mask in masks]}
            states[b] = step(x[t, b], states[b], masked)
            y[t, b] = states[b][0]
    return y


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("bidirectional", [False, True])
def test_all_of_them_are_the_papers_equations(kind, bidirectional):
    layer = make(kind, num_layers=2, bidirectional=bidirectional, **ALL_OF[kind])
    x = torch.randn(T, B, I, dtype=F64)
    by_hand = x.numpy()
    places = iter(range(4))
    for _ in range(2):
        ys = [layer_by_hand(layer, by_hand, 77, next(places), ALL_OF[kind]) for _ in range(1 + bidirectional)]
        by_hand = np.concatenate(ys, -1)
    np.testing.assert_allclose(layer(x, seed=77)[0].detach().numpy(), by_hand, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_each_changes_what_training_computes(kind, options):
    layer, plain, x = make(kind, **options), make(kind), torch.randn(T, B, I, dtype=F64)
    assert not torch.allclose(layer(x)[0], plain(x)[0])


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_in_evaluation_dropouts_do_nothing(kind, dtype):
    """The same bits as a layer without them, and no random number is drawn."""
    layer, plain = make(kind, **RATES, dtype=dtype).eval(), make(kind, dtype=dtype)
    x, before = torch.randn(T, B, I, dtype=dtype), torch.get_rng_state()
    assert_same(layer(x), plain(x))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", list(KINDS))
def test_in_evaluation_zoneout_is_its_mean(kind):
    layer = make(kind, **ALL_OF[kind]).eval()
    x = torch.randn(T, B, I, dtype=F64)
    weights = dict(zip(("W", "R", "b_x", "b_h"), (p.detach().numpy() for p in layer.parameters()), strict=True))
    zoneout = ALL_OF[kind]["zoneout"] if kind == "LSTM" else (ALL_OF[kind]["zoneout"],)
    weights["masks"] = [np.float64(1), *map(np.float64, zoneout)]
    step, y = oracle.STEPS[f"regularized_{kind.lower()}"], layer(x)[0]
    for b in range(B):
        states = (np.zeros(H),) * len(layer.cell.states)
        for t in range(T):
            states = step(x[t, b].numpy(), states, weights)
            np.testing.assert_allclose(y[t, b].detach().numpy(), states[0], rtol=0, atol=1e-12)


def test_zoneout_is_on_the_mean_what_evaluation_computes_of_one_step():
    layer = make("LSTM", zoneout=(0.4, 0.3))
    x, hx = torch.randn(1, 1, I, dtype=F64), tuple(torch.randn(2, 1, 1, H, dtype=F64))
    many = layer(x.expand(1, 20_000, I), tuple(s.expand(1, 20_000, H) for s in hx))[1]
    for drawn_states, mean in zip(many, layer.eval()(x, hx)[1], strict=True):
        torch.testing.assert_close(drawn_states.mean(1), mean[:, 0], rtol=0, atol=0.03)


# ---- seeds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_seed_gives_the_same_masks_again(kind):
    layer, x = make(kind, **ALL_OF[kind], num_layers=2), torch.randn(T, B, I, dtype=F64)
    assert_same(layer(x, seed=2**64 - 1), layer(x, seed=-1))
    assert_same(layer(x, seed=3), layer(x, seed=np.int64(3)))
    assert not torch.allclose(layer(x, seed=3)[0], layer(x, seed=4)[0])
    assert not torch.allclose(layer(x)[0], layer(x)[0])
    first, second = (torch.manual_seed(9) and layer(x) for _ in range(2))
    assert_same(first, second)


def test_layers_and_directions_have_masks_of_their_own():
    """With the same weights in both directions, the reversed input gives the halves in exchange, but for the masks."""
    layer = make("LSTM", bidirectional=True, recurrent_dropout=0.5)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.copy_(layer.get_parameter(name.removesuffix("_reverse")))
    x = torch.randn(1, B, I, dtype=F64)
    y = layer(x, seed=1)[0]
    assert not torch.allclose(y[..., :H], y[..., H:])
    layer.eval()
    torch.testing.assert_close(layer(x)[0][..., :H], layer(x)[0][..., H:])


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_any_number_of_threads(kind, dtype):
    """Outputs and gradients, to the last bit."""
    layer = KINDS[kind](20, 65, num_layers=2, bidirectional=True, dtype=dtype, **ALL_OF[kind])
    x = torch.randn(40, 13, 20, dtype=dtype)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        y = layer(x, seed=4)[0]
        found.append([y, *torch.autograd.grad(y.square().sum(), list(layer.parameters()))])
    for others in found[1:]:
        assert all(map(same_bits, found[0], others))


# ---- every way to call ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
def test_batch_first_has_the_same_masks(kind):
    layer, x = make(kind, num_layers=2, bidirectional=True, **ALL_OF[kind]), torch.randn(T, B, I, dtype=F64)
    other = make(kind, num_layers=2, bidirectional=True, batch_first=True, **ALL_OF[kind])
    assert torch.equal(other(x.transpose(0, 1), seed=1)[0].transpose(0, 1), layer(x, seed=1)[0])
    assert torch.equal(layer(x[:, 0], seed=1)[0], layer(x[:, :1], seed=1)[0][:, 0])
    torch.testing.assert_close(layer(x[:, 0], seed=1)[0], layer(x, seed=1)[0][:, 0])


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("bidirectional", [False, True])
def test_masks_belong_to_the_callers_rows(kind, bidirectional):
    """Padded with lengths, end to end with offsets, packed in any order: the same rows get the same masks."""
    layer = make(kind, bidirectional=bidirectional, num_layers=2, **ALL_OF[kind])
    x, lengths = torch.randn(T, B, I, dtype=F64), torch.tensor([3, 6, 1, 5])
    y, hx = layer(x, lengths=lengths, seed=1)
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    y_packed, hx_packed = layer(packed, seed=1)
    assert_same((pad_packed_sequence(y_packed)[0], hx_packed), (y, hx))
    there = torch.arange(T) < lengths[:, None]
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    flat, hx_flat = layer(x.transpose(0, 1)[there], offsets=offsets, seed=1)
    assert_same((flat, hx_flat), (y.transpose(0, 1)[there], hx))
    whole = layer(x, seed=1)[0][..., :H]
    if not bidirectional:
        torch.testing.assert_close(y, whole.where(there.T[..., None], 0.0))


@pytest.mark.parametrize("kind", list(KINDS))
def test_resets_do_not_change_the_masks(kind):
    layer, x = make(kind, **ALL_OF[kind]), torch.randn(T, B, I, dtype=F64)
    resets = torch.zeros(T, B, dtype=torch.bool)
    assert_same(layer(x, resets=resets, seed=1), layer(x, seed=1))
    resets[0] = True  # before the first step, zeros in the place of zeros
    assert_same(layer(x, resets=resets, seed=1), layer(x, seed=1))
    resets[3] = True
    assert torch.equal(layer(x, resets=resets, seed=1)[0][:3], layer(x, seed=1)[0][:3])
    assert not torch.allclose(layer(x, resets=resets, seed=1)[0][3:], layer(x, seed=1)[0][3:])


@pytest.mark.parametrize("kind", list(KINDS))
def test_states_and_gates_are_the_layers_own(kind):
    layer, x = make(kind, **ALL_OF[kind]), torch.randn(T, B, I, dtype=F64)
    y, hx, inside = layer(x, return_states=True, return_gates=True, seed=1)
    assert_same((y, hx), layer(x, seed=1))
    assert inside._fields == (("h", "c", "i", "f", "g", "o") if kind == "LSTM" else ("h", "r", "z", "n"))
    assert torch.equal(inside.h[0], y)
    assert all(gate[0].abs().max() <= 1 for gate in inside[-3:])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_other_dtypes_have_the_same_masks(dtype):
    layer = make("LSTM", **ALL_OF["LSTM"])
    x = torch.randn(T, B, I, dtype=F64)
    expected = layer(x, seed=1)[0]
    torch.testing.assert_close(layer.to(dtype)(x.to(dtype), seed=1)[0].double(), expected, rtol=0, atol=0.1)


@pytest.mark.parametrize("kind", list(KINDS))
def test_under_autocast_the_masks_are_the_same(kind):
    layer, x = KINDS[kind](I, 40, **ALL_OF[kind]), torch.randn(T, B, I)
    parameters = list(layer.parameters())
    y = layer(x, seed=1)[0]
    with torch.autocast("cpu", torch.bfloat16):
        rounded, plain = layer(x, seed=1)[0], KINDS[kind](I, 40)(x)[0]
    assert rounded.dtype == plain.dtype
    torch.testing.assert_close(rounded.float(), y, rtol=0, atol=0.05)
    pairs = zip(*(torch.autograd.grad(out.float().square().sum(), parameters) for out in (rounded, y)), strict=True)
    for got, expected in pairs:
        torch.testing.assert_close(got, expected, rtol=0, atol=0.05 * expected.abs().max().item())


def test_a_projection_takes_all_but_zoneout_of_h():
    layer = make("LSTM", proj_size=4, **{**ALL_OF["LSTM"], "zoneout": (0.4, 0)})
    x = torch.randn(T, B, I, dtype=F64)
    assert layer(x, seed=1)[0].shape == (T, B, 4)
    assert not torch.allclose(layer(x, seed=1)[0], layer(x, seed=2)[0])
    torch.testing.assert_close(layer.eval()(x)[0], layer(x, lengths=[T] * B)[0])
