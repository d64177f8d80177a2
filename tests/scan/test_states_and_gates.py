"""States and gates of every step: from the equations, kernels and scan, their bits and gradients."""

from __future__ import annotations

import pytest
import torch
from custom_ops import check_ops, compiled, needs_ops
from hypothesis import given
from hypothesis import strategies as st
from sequences import (
    CELLS,
    RAGGED,
    SIZES,
    WAYS,
    Shape,
    assert_same_bits,
    differentiable,
    draws_of,
    make_ragged,
    make_sequence,
    reads_h,
    run,
    with_resets,
)
from torch.autograd import gradcheck, gradgradcheck
from twins import Size, assert_as_exact, assert_equal_to_1e10

from carrousel.cells import ALL
from carrousel.fused import fused
from carrousel.fused.kernels import KERNELS
from carrousel.scan import scan
from carrousel.scan.gates import gates_of

DTYPES = {"float32": torch.float32, "float64": torch.float64}
EVERY_WAY = [*WAYS, *RAGGED]
SIZE = Size(T=5, B=4, I=3, H=7)
ASKED = {
    "states": {"states": True},
    "gates": {"gates": True},
    "both": {"states": True, "gates": True},
}
NAMES = {
    "lstm": ("i", "f", "g", "o"),
    "peephole": ("i", "f", "g", "o"),
    "lstm1997": ("i", "g", "o"),
    "coupled": ("i", "g", "o"),
    "slstm": ("z", "i", "f", "o"),
    "gru": ("r", "z", "n"),
    "mingru": ("z", "g"),
    "minlstm": ("f", "g"),
    "rnn_tanh": (),
    "rnn_relu": (),
}


def make(cell, size, way, asked="both", shape=None):
    """A sequence of any layout that asks for its inside."""
    sequence = (make_sequence if way in WAYS else make_ragged)(cell, size, way, shape)
    sequence.options |= ASKED[asked]
    return sequence


# ---- what is shown --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", NAMES)
def test_names(cell):
    """In the order of the blocks of the weights, as torch.nn documents it."""
    assert tuple(gates_of(ALL[cell])) == NAMES[cell]
    _, _, shown = make(cell, SIZE, "plain").call(scan)
    assert tuple(shown) == (*ALL[cell].states[1:], *NAMES[cell])


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=lambda kernel: kernel.cell.name)
def test_every_cells_kernel_keeps_its_gates(kernel):
    assert tuple(kernel.gates) == tuple(gates_of(kernel.cell))


@pytest.mark.parametrize("function", [scan, fused])
def test_an_lstms_inside_from_the_equations(function):
    sequence = make("lstm", SIZE, "plain")
    h, (_, last_c), shown = sequence.call(function)
    tensors = sequence.tensors
    h_before = torch.cat([tensors["h"][None], h[:-1]])
    rows = tensors["x"] @ tensors["weights.W"].T + h_before @ tensors["weights.R"].T
    i, f, g, o = (rows + tensors["weights.b_x"] + tensors["weights.b_h"]).split(SIZE.H, dim=-1)
    gates = {"i": i.sigmoid(), "f": f.sigmoid(), "g": g.tanh(), "o": o.sigmoid()}
    assert_equal_to_1e10({name: shown[name] for name in gates}, gates)
    c, c_before = shown["c"], torch.cat([tensors["c"][None], shown["c"][:-1]])
    new = gates["f"] * c_before + gates["i"] * gates["g"]
    assert_equal_to_1e10({"c": c, "last": last_c, "h": h}, {"c": new, "last": new[-1], "h": gates["o"] * new.tanh()})


@pytest.mark.parametrize("function", [scan, fused])
def test_a_grus_inside_from_the_equations(function):
    sequence = make("gru", SIZE, "plain")
    h, _, shown = sequence.call(function)
    before = torch.cat([sequence.tensors["h"][None], h[:-1]])
    expected = (1 - shown["z"]) * shown["n"] + shown["z"] * before
    assert_equal_to_1e10({"h": h}, {"h": expected})
    tensors = sequence.tensors
    from_x = (tensors["x"] @ tensors["weights.W"].T + tensors["weights.b_x"]).split(SIZE.H, dim=-1)
    from_h = (before @ tensors["weights.R"].T + tensors["weights.b_h"]).split(SIZE.H, dim=-1)
    assert_equal_to_1e10({"r": shown["r"]}, {"r": (from_x[0] + from_h[0]).sigmoid()})


@pytest.mark.grid(cell=CELLS, way=EVERY_WAY)
def test_states_are_those_that_a_shorter_run_ends_with(cell, way):
    """Row by row: the state at step t is the final state of the first t + 1 steps."""
    if "reverse" in way or "batch_first" in way or "packed" in way or "offsets" in way:
        sequence = make(cell, SIZE, way, "states")  # the layouts differ in where things lie: scan says where
        assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))
        return
    sequence = make(cell, SIZE, way, "states")
    _, _, shown = sequence.call(fused)
    lengths = sequence.options.pop("lengths", torch.full((SIZE.B,), SIZE.T))
    for name in ALL[cell].states[1:]:
        k = ALL[cell].states.index(name)
        for t in range(SIZE.T):
            _, states, _ = sequence.call(fused, x=sequence.tensors["x"][: t + 1])
            there = lengths > t
            torch.testing.assert_close(shown[name][t][there], states[k][there], rtol=0, atol=1e-12)
            assert not shown[name][t][~there].any()


# ---- kernels beside scan --------------------------------------------------------------------------------------------


@pytest.mark.grid(cell=CELLS, size=SIZES, way=EVERY_WAY, asked=ASKED, bias=[True, False])
def test_kernels_equal_scan(cell, size, way, asked, bias):
    sequence = make(cell, size, way, shape=Shape(bias))
    sequence.options |= {"states": False, "gates": False} | asked
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))


@pytest.mark.grid(cell=CELLS, size=SIZES, way=EVERY_WAY)
def test_kernels_round_like_scan(cell, size, way):
    assert_as_exact(draws_of(lambda: make(cell, size, way)))


@pytest.mark.grid(cell=[name for name in CELLS if not reads_h(ALL[name])], way=EVERY_WAY, asked=list(ASKED))
def test_projected_and_with_resets(cell, way, asked):
    sequence = with_resets(make(cell, Size(T=7, B=5, I=4, H=19), way, asked, Shape(projected=True)))
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))


@given(
    cell=st.sampled_from(CELLS),
    size=st.builds(Size, T=st.integers(1, 12), B=st.integers(1, 15), I=st.integers(1, 70), H=st.integers(1, 70)),
    way=st.sampled_from(EVERY_WAY),
    asked=st.sampled_from(list(ASKED)),
    resets=st.booleans(),
    padding=st.sampled_from([0.0, -2.5]),
    seed=st.integers(0, 1000),
)
def test_anything_together_equals_scan(cell, size, way, asked, resets, padding, seed):
    torch.manual_seed(seed)
    sequence = make(cell, size, way, asked)
    sequence = with_resets(sequence) if resets else sequence
    sequence.options |= {"padding_value": padding}
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))


@pytest.mark.grid(cell=CELLS, way=EVERY_WAY, asked=list(ASKED), dtype=DTYPES)
def test_to_be_shown_changes_no_bit(cell, way, asked, dtype):
    """The outputs; and the gradients, where the loss looks at nothing but them."""
    shown = make(cell, Size(T=9, B=5, I=4, H=33), way, asked)
    plain = type(shown)(shown.cell, shown.tensors, {k: v for k, v in shown.options.items() if k not in ASKED["both"]})

    def only_plain_outputs(*arguments):
        return *fused(*arguments)[:2], None

    assert_same_bits(run(only_plain_outputs, shown, dtype), run(fused, plain, dtype))


@pytest.mark.grid(cell=CELLS, way=EVERY_WAY, asked=list(ASKED), dtype=DTYPES)
def test_any_number_of_threads(cell, way, asked, dtype):
    sequence = make(cell, Size(T=40, B=13, I=20, H=65), way, asked)
    alone = run(fused, sequence, dtype)
    torch.set_num_threads(3)
    assert_same_bits(run(fused, sequence, dtype), alone)


@pytest.mark.grid(cell=CELLS, way=["plain", "lengths", "packed"])
def test_without_gradients(cell, way):
    sequence = make(cell, SIZE, way)
    with torch.no_grad():
        y, _, shown = sequence.call(fused)
    expected, _, with_gradients = sequence.requires_grad_().call(fused)
    assert_same_bits({"y": y} | shown, {"y": expected.detach()} | {k: v.detach() for k, v in with_gradients.items()})


@pytest.mark.grid(cell=CELLS, way=["plain", "reverse", "packed", "lengths"], asked=list(ASKED))
def test_gradients_are_the_slopes(cell, way, asked):
    assert gradcheck(*differentiable(make(cell, Size(T=3, B=2, I=2, H=3), way, asked)))


@pytest.mark.grid(cell=["lstm", "gru"], way=["plain", "lengths"])
def test_second_derivatives_are_the_slopes_of_the_first(cell, way):
    assert gradgradcheck(*differentiable(make(cell, Size(T=2, B=2, I=1, H=2), way)))


def test_functional_transforms():
    outputs, tensors = differentiable(make("lstm", SIZE, "plain"))

    def loss(x):
        return sum(output.square().sum() for output in outputs(x, *tensors[1:]))

    (expected,) = torch.autograd.grad(loss(tensors[0]), tensors[0])
    x = tensors[0].detach()
    got = torch.func.vmap(torch.func.grad(loss))(torch.stack([x, 2 * x]))[0]
    assert_equal_to_1e10({"x": got}, {"x": expected})


@needs_ops
@pytest.mark.parametrize(
    ("way", "asked"),
    [("plain", "both"), *(pytest.param("lengths", asked, marks=pytest.mark.full) for asked in ASKED)],
)
def test_opcheck(way, asked):
    torch.compiler.reset()
    sequence = make("gru", SIZE, way, asked)
    sequence.tensors["x"] = sequence.tensors["x"].nan_to_num(0.0)
    check_ops(sequence)


@needs_ops
@pytest.mark.parametrize(("cell", "way", "asked"), [("lstm", "plain", "states"), ("gru", "lengths", "both")])
def test_compiled(cell, way, asked):
    torch.compiler.reset()
    sequence = make(cell, SIZE, way, asked)
    assert_equal_to_1e10(run(compiled(), sequence, torch.float64), run(fused, sequence, torch.float64))
