"""Layer normalisation: the layer, what is beyond the tests that run over all cells, and what can not be generated."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from sequences import F32, F64, Shape, assert_same_bits, make_ragged, make_sequence, run, same_bits
from torch.nn.functional import layer_norm as torchs
from twins import Size, assert_equal_to_1e10

import carrousel
from bench.rivals.layer_norm import InTorch
from carrousel import codegen
from carrousel.cells import ALL, Cell, layer_norm, sigmoid, tanh
from carrousel.codegen import CodegenError
from carrousel.codegen.stages import derive_stages
from carrousel.fused import fused, has_kernel
from carrousel.scan import scan

CELL = ALL["layer_norm_lstm"]
DRAWN = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
needs_kernels = pytest.mark.skipif(not has_kernel(CELL, torch.zeros(1)), reason="the kernels are not built")


def test_the_function_is_torchs():
    x = torch.randn(5, 7, dtype=F64)
    torch.testing.assert_close(layer_norm(x), torchs(x, (7,), eps=1e-5), rtol=0, atol=1e-12)


# ---- the layer


def test_parameters():
    layer = carrousel.LayerNormLSTM(3, 4, num_layers=2, bidirectional=True)
    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
    torch_has = {name: tuple(p.shape) for name, p in torch.nn.LSTM(3, 4, 2, bidirectional=True).named_parameters()}
    own = {f"weight_ln_l{k}{way}": (40,) for k in (0, 1) for way in ("", "_reverse")}
    assert shapes == torch_has | own
    assert list(shapes)[:5] == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_ln_l0"]
    for name in own:  # gains of W x, of R h and of the state, and the state's bias
        assert torch.equal(getattr(layer, name), torch.tensor([1.0] * 36 + [0.0] * 4))


def test_the_gains_start_at_one_again():
    layer = carrousel.LayerNormLSTM(3, 4)
    torch.nn.init.normal_(layer.weight_ln_l0)
    torch.manual_seed(1)
    layer.reset_parameters()
    assert layer.weight_ln_l0.tolist() == [1.0] * 36 + [0.0] * 4
    assert layer.weight_ln_l0.requires_grad
    torch.manual_seed(1)
    theirs = torch.nn.LSTM(3, 4)
    assert all(torch.equal(getattr(layer, f"{name}_l0"), getattr(theirs, f"{name}_l0")) for name in DRAWN)


def test_it_is_the_papers_equations_in_torchs_functions():
    layer = carrousel.LayerNormLSTM(3, 5).double()
    torch.nn.init.normal_(layer.weight_ln_l0)
    x = torch.randn(6, 2, 3, dtype=F64)
    (y, states), (expected, expected_states) = layer(x), InTorch(layer)(x)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    for state, expected in zip(states, expected_states, strict=True):
        torch.testing.assert_close(state[0], expected, rtol=0, atol=1e-12)


def test_the_scale_of_the_weights_does_not_matter():
    """What the normalisation is for; 1e-5 beside the variance is what is left."""
    layer = carrousel.LayerNormLSTM(8, 16).double()
    x = 10 * torch.randn(7, 3, 8, dtype=F64)
    y, _ = layer(x)
    with torch.no_grad():
        layer.weight_ih_l0 *= 7
    torch.testing.assert_close(layer(x)[0], y, rtol=0, atol=1e-4)
    with torch.no_grad():
        layer.bias_ih_l0 += 1
    assert (layer(x)[0] - y).abs().max() > 0.1


@pytest.mark.parametrize("way", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_is_the_layer(way):
    layer = carrousel.LayerNormLSTM(3, 4, num_layers=2, bias=False, dropout=0.5)
    torch.nn.init.normal_(layer.weight_ln_l1)
    twin, again = way(layer).eval(), carrousel.LayerNormLSTM(3, 4, num_layers=2, bias=False, dropout=0.5).eval()
    again.load_state_dict(layer.state_dict())
    x = torch.randn(5, 2, 3)
    assert torch.equal(twin(x)[0], layer.eval()(x)[0])
    assert torch.equal(again(x)[0], twin(x)[0])
    assert repr(twin) == "LayerNormLSTM(3, 4, num_layers=2, bias=False, dropout=0.5)"


def test_a_projection_is_refused():
    with pytest.raises(ValueError, match=r"proj_size=2 .* layer_norm_lstm, which normalises R h"):
        carrousel.LayerNormLSTM(3, 4, proj_size=2)
    sequence = make_sequence(CELL, Size(T=2, B=1, I=2, H=4), shape=Shape(projected=True))
    for function in (fused, scan):
        with pytest.raises(ValueError, match=r"weights\.P is given, and a normalised cell cannot be projected"):
            sequence.call(function)


# ---- the kernel


@needs_kernels
@pytest.mark.parametrize("B", [3, 16, 37, 150])  # sets of one row, of four, and of eight
@pytest.mark.parametrize("way", ["plain", "lengths", "packed_reverse"])
def test_any_number_of_threads_gives_the_same_bits(B, way):
    size = Size(T=6, B=B, I=9, H=70)
    sequence = make_ragged(CELL, size) if way == "lengths" else make_sequence(CELL, size, way)
    alone = run(fused, sequence, F32)
    for threads in (2, 3, 5):
        torch.set_num_threads(threads)
        assert_same_bits(run(fused, sequence, F32), alone)


@needs_kernels
@pytest.mark.parametrize("I", [5, 70])
def test_units_split_among_threads_give_the_same_bits(I):
    sequence = make_sequence(CELL, Size(T=3, B=20, I=I, H=300), "packed")
    alone = run(fused, sequence, F32)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        assert_same_bits(run(fused, sequence, F32), alone)


@pytest.mark.parametrize("H", [4, 8, 16])  # one vector of units, of either type and each instruction set
@pytest.mark.parametrize("way", ["plain", "reverse"])
def test_one_row_alone(H, way):
    """What runs in registers, over several chunks of steps: scan's numbers, and the bits of the rows' general way."""
    sequence = make_sequence(CELL, Size(T=300, B=1, I=3, H=H), way)
    assert_equal_to_1e10(run(fused, sequence, F64), run(scan, sequence, F64))
    for dtype in (F32, F64):
        y = sequence.to(dtype).call(fused)[0]
        sequence.options["gates"] = True  # which only the general way does
        assert torch.equal(sequence.to(dtype).call(fused)[0], y)
        del sequence.options["gates"]


@pytest.mark.parametrize("layers", [1, 2])
def test_a_stream_is_the_sequence(layers):
    layer = carrousel.LayerNormLSTM(3, 20, num_layers=layers).requires_grad_(False)
    torch.nn.init.normal_(layer.weight_ln_l0)
    x = torch.randn(9, 4, 3)
    y, hx = layer(x)
    state = layer.start(4)
    steps = [layer.step(x[0], state), layer.step(x[1], state), *layer.block(x[2:7], state), *layer.block(x[7:], state)]
    equal = same_bits if has_kernel(CELL, x) else torch.allclose
    assert equal(torch.stack(steps), y)
    assert all(map(equal, state.hx(), hx))
    torch.nn.init.normal_(layer.weight_ln_l0)  # packed anew
    assert equal(layer.step(x[0], layer.start(4)), layer(x[:1])[0][0])


@pytest.mark.parametrize("asked", [{"return_gates": True}, {"return_states": True, "return_gates": True}])
@pytest.mark.parametrize("I", [3, 70])
def test_states_and_gates_of_every_step(asked, I):
    layer = carrousel.LayerNormLSTM(I, 18, bidirectional=True).double()
    x = torch.randn(5, 3, I, dtype=F64)
    lengths = torch.tensor([4, 0, 5])

    def gradients(run):
        _, _, inside = run(x, lengths=lengths, **asked)
        shown = [tensor for of_name in inside for tensor in of_name]
        loss = sum(((1 + k) * tensor.sin()).sum() for k, tensor in enumerate(shown))
        return [*shown, *torch.autograd.grad(loss, list(layer.parameters()))]

    ours = gradients(layer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("carrousel.fused.run.KERNELS", {})
        plain = gradients(layer)
    for got, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)


# ---- what is generated


def test_the_step_is_split_at_the_normalisation():
    stages = derive_stages(CELL)
    assert [str(value) for value in stages.saved] == ["i", "f", "g", "o"]
    assert stages.late == [True, False]
    stores = {name: set(steps.stores) for name, steps in stages.functions.items()}
    assert stores["before"] == {"s_new[1]", "raw[0]", *(f"save[{k}]" for k in range(4))}
    assert stores["after"] == {"s_late[0]"}
    assert stores["backward_after"] == {"d_normal[0]", "held[0]"}  # tanh of what is normalised
    assert stores["backward_before"] == {*(f"da[{k}]" for k in range(4)), "ds[0]", "ds[1]", "dp[8]", "dp[9]"}


def normed(step, **changed):
    return Cell(
        **{"name": "mine", "rows": "abd", "from_x": "abd", "from_h": "abd", "states": "h", "step": step} | changed
    )


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (normed(lambda rows, states: (layer_norm(tanh(rows[0])) * rows[1],)), "only cells with normed=True"),
        (normed(lambda rows, states, weights: (layer_norm(layer_norm(rows[0])),), normed=True), "a second time"),
        (
            normed(lambda rows, states, weights: (sigmoid(rows[1] + layer_norm(rows[0])) * states[0],), normed=True),
            "depends on layer_norm",
        ),
    ],
)
def test_what_can_not_be_parted_is_named(cell, says):
    with pytest.raises(CodegenError, match=rf"cell 'mine'.*{says}"):
        codegen.header(cell)


def test_gains_stand_before_a_cells_own_weights():
    own = {"rows": "ba", "from_x": "ab", "from_h": "a", "weights": "w", "normed": True}
    cell = normed(lambda rows, states, weights: states, starts=[3], **own)
    assert cell.weights == ("x_a", "x_b", "h_a", "w")
    assert cell.starts == (1, 1, 1, 3)
    with pytest.raises(ValueError, match=r"starts=\(1.0, 1.0, 1.0\) must have one number for each of"):
        normed(lambda rows, states, weights: states, starts=(), **own)
