"""The eight variants of the search-space odyssey against the paper's equations in numpy; their layers and kernels."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch
from custom_cells import compiled_variants, needs_compiler
from sequences import make_sequence, run
from torch.autograd import gradcheck
from twins import Size, assert_equal_to_1e10

import carrousel
from carrousel import odyssey
from carrousel.cells import ALL
from carrousel.custom_cell.fuse import fuse, is_fused
from carrousel.fused import fused, kernels
from carrousel.scan import scan

pytestmark = pytest.mark.slow

VARIANTS = {name: getattr(odyssey, name) for name in odyssey.__all__}
BY_KERNEL = [name for name in VARIANTS if name != "NP"]
SIZE = Size(T=5, B=3, I=4, H=7)


def sigma(x):
    return 1 / (1 + np.exp(-x))


def by_the_paper(variant, cell, x, states, W, R, b, p):
    """Greff 2017, section II and the changes of section III: one row of the batch, one step after another.

    W, R, b: dicts by the paper's block (i f z o), z being our g; R[to] has h's matrix, and for FGR those of i f o after
    it. p: peepholes by gate.
    """
    y, c, *gates = states
    gates = dict(zip("ifo", gates))
    outputs = []
    for x_t in x:
        net = {k: W[k] @ x_t + R[k][0] @ y + b[k] for k in W}
        if variant == "FGR":
            for k in "ifo":
                net[k] = net[k] + sum(R[k][1 + n] @ gates[of] for n, of in enumerate("ifo"))
        peep = {k: p.get(k, 0.0) for k in "ifo"}
        z = net["g"] if variant == "NIAF" else np.tanh(net["g"])
        i = 1.0 if variant == "NIG" else sigma(net["i"] + peep["i"] * c)
        f = 1.0 if variant == "NFG" else 1 - i if variant == "CIFG" else sigma(net["f"] + peep["f"] * c)
        c = z * i + c * f
        o = 1.0 if variant == "NOG" else sigma(net["o"] + peep["o"] * c)
        y = (c if variant == "NOAF" else np.tanh(c)) * o
        gates = {"i": i, "f": f, "o": o}
        outputs.append(y)
    return np.array(outputs), (y, c, *(gates.values() if variant == "FGR" else ()))


def arguments_of(layer, x, hx):
    """A layer's parameters as `by_the_paper` takes them, for each row of the batch."""
    H, cell = layer.hidden_size, layer.cell
    numbers = {name: w.detach().numpy() for name, w in layer.named_parameters()}
    blocks = {
        name: dict(zip(cell.from_x, np.split(numbers[f"{name}_l0"], len(cell.from_x))))
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    R = {k: [block] for k, block in blocks["weight_hh"].items()}
    if "weight_gh_l0" in numbers:
        for n, block in enumerate(np.split(numbers["weight_gh_l0"], 9)):
            R["ifo"[n // 3]].append(block)
    b = {k: blocks["bias_ih"][k] + blocks["bias_hh"][k] for k in cell.from_x}
    names = list(cell.weights)
    p = dict(zip(names, np.split(numbers["weight_ch_l0"], len(names)))) if names else {}
    assert all(len(vector) == H for vector in p.values())
    for row in range(x.shape[1]):
        yield x[:, row].numpy(), [state[0, row].numpy() for state in hx], blocks["weight_ih"], R, b, p


@pytest.mark.parametrize("name", VARIANTS)
def test_values_are_the_papers(name):
    layer = VARIANTS[name](SIZE.I, SIZE.H, dtype=torch.float64)
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64)
    hx = tuple(torch.randn(1, SIZE.B, SIZE.H, dtype=torch.float64) for _ in layer.cell.states)
    y, final = layer(x, hx)
    for row, arguments in enumerate(arguments_of(layer, x, hx)):
        expected, states = by_the_paper(name, layer.cell, *arguments)
        np.testing.assert_allclose(y[:, row].detach(), expected, rtol=0, atol=1e-12)
        for got, state in zip(final, states, strict=True):
            np.testing.assert_allclose(got[0, row].detach(), state, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", VARIANTS)
def test_gradients(name):
    layer = VARIANTS[name](2, 3, num_layers=2, bidirectional=True, dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    names, leaves = zip(*layer.named_parameters())

    def outputs(x, *tensors):
        y, hx = torch.func.functional_call(layer, dict(zip(names, tensors, strict=True)), (x,))
        return (y, *hx)

    assert gradcheck(outputs, (x, *leaves), fast_mode=True)
    layer(x)[0].square().sum().backward()
    assert all(p.grad.any() for p in layer.parameters())


@needs_compiler
@pytest.mark.parametrize("way", ["plain", "reverse", "packed"])
@pytest.mark.parametrize("name", BY_KERNEL)
def test_kernels_equal_scan(name, way):
    cell = compiled_variants()[name]
    sequence = make_sequence(cell, SIZE, way)
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))


@pytest.mark.parametrize(
    ("name", "blocks", "peepholes"),
    [("NIG", 3, 2), ("NFG", 3, 2), ("NOG", 3, 2), ("NIAF", 4, 3), ("NOAF", 4, 3), ("CIFG", 3, 2), ("NP", 4, 0)],
)
def test_what_a_variant_has_not_has_no_weights(name, blocks, peepholes):
    shapes = {key: tuple(p.shape) for key, p in VARIANTS[name](3, 5).named_parameters()}
    assert shapes["weight_ih_l0"] == (blocks * 5, 3)
    assert shapes["weight_hh_l0"] == (blocks * 5, 5)
    assert shapes.get("weight_ch_l0", (0,)) == (peepholes * 5,)


def test_full_gate_recurrence_has_nine_more_matrices():
    layer = odyssey.FGR(3, 5, num_layers=2, bidirectional=True, proj_size=2)
    assert layer.weight_hh_l1_reverse.shape == (20, 2)
    assert layer.weight_gh_l1_reverse.shape == (45, 5)
    assert layer(torch.randn(4, 3))[0].shape == (4, 4)
    orthogonal = odyssey.FGR(3, 5, initialise="orthogonal")
    for block in orthogonal.weight_gh_l0.split(5):
        torch.testing.assert_close(block @ block.T, torch.eye(5), rtol=0, atol=1e-5)


def test_full_gate_recurrence_in_every_form():
    """Lengths, resets, streams and states inside: five states, of which four are fed back."""
    layer = odyssey.FGR(3, 5, dtype=torch.float64).requires_grad_(False)
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    y, hx, inside = layer(x, return_states=True, return_gates=True)
    assert inside._fields == ("h", "c", "i", "f", "o", "g")
    state = layer.start(2)
    assert_equal_to_1e10({"y": torch.stack([layer.step(one, state) for one in x])}, {"y": y})
    short, finals = layer(x, lengths=[6, 4])
    assert_equal_to_1e10({"y": short[:4], "f": finals[3][:, 1]}, {"y": y[:4], "f": inside.f[0][3, 1][None]})
    resets = torch.zeros(6, 2, dtype=torch.bool)
    resets[3] = True
    assert_equal_to_1e10({"y": layer(x, resets=resets)[0][3:]}, {"y": layer(x[3:])[0]})
    assert all(torch.equal(state[-1], last[0]) for state, last in zip((s[0] for s in inside[:5]), hx))


def test_without_peepholes_it_is_the_lstm():
    layer, lstm = odyssey.NP(3, 5, compile=True), carrousel.LSTM(3, 5)
    lstm.load_state_dict(layer.state_dict(), strict=True)
    x = torch.randn(4, 2, 3)
    assert torch.equal(layer(x)[0], lstm(x)[0])
    assert layer.cell is ALL["lstm"]


@pytest.mark.parametrize("way", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
@pytest.mark.parametrize("name", VARIANTS)
def test_copies(name, way):
    layer = VARIANTS[name](3, 5, num_layers=2)
    x = torch.randn(4, 2, 3)
    assert torch.equal(way(layer)(x)[0], layer(x)[0])


def test_variants_with_forget_gates_say_so():
    """CIFG and NP as the others; NFG has none."""
    for name, layer in VARIANTS.items():
        if name == "NFG":
            with pytest.raises(ValueError, match=r"forget_bias=1\.0 .* NFG has none"):
                layer(3, 5, forget_bias=1.0)
        else:
            assert layer(3, 5, forget_bias=1.0).bias_ih_l0.eq(-1.0 if name == "CIFG" else 1.0).sum() == 5


@needs_compiler
def test_a_kernel_of_the_same_equations_keeps_this_cells_gates():
    """One is compiled for both; which gate is called so is no part of the equations."""
    with_gate = VARIANTS["NIG"].CELL
    without = replace(with_gate, forget_gate="")
    assert with_gate == without
    compiled_variants()
    flags = re.sub(r"-O\d", "-O0", kernels.compile_flags())
    with mock.patch.object(kernels, "compile_flags", return_value=flags):
        both = fuse(with_gate), fuse(without)
    assert [cell.forget_gate for cell in both] == ["f", ""]
    assert all(map(is_fused, both))
