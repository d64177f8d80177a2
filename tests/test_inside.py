"""States and gates of every step: what the equations say, in every layout, with gradients through all of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sequences import (
    CELLS,
    RAGGED,
    SIZES,
    WAYS,
    Shape,
    assert_same_bits,
    draws_of,
    make_ragged,
    make_sequence,
    reads_h,
    run,
    with_resets,
)
from test_compile import check_ops, compiled, needs_ops
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from twins import Size, assert_as_exact, assert_equal_to_1e10

import carrousel
from carrousel.cells import ALL, Cell, sigmoid, tanh
from carrousel.fused import fused
from carrousel.gates import gates_of
from carrousel.kernel import KERNELS
from carrousel.scan import scan

DTYPES = {"float32": torch.float32, "float64": torch.float64}
EVERY_WAY = [*WAYS, *RAGGED]
SIZE = Size(T=5, B=4, I=3, H=7)
ASKED = {
    "states": {"return_states": True},
    "gates": {"return_gates": True},
    "both": {"return_states": True, "return_gates": True},
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
    sequence.options |= {"return_states": False, "return_gates": False} | asked
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
    plain = type(shown)(shown.cell, shown.tensors, {k: v for k, v in shown.options.items() if "return" not in k})

    def only_plain_outputs(*arguments, **options):
        return fused(*arguments, **options)[:2]

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


def arguments(sequence):
    """A sequence as gradcheck wants it; NaN has no slope, so x is zero where it is padding."""
    sequence.tensors["x"] = sequence.tensors["x"].nan_to_num(0.0)
    names = list(sequence.requires_grad_().tensors)

    def outputs(*tensors):
        y, states, shown = sequence.call(fused, **dict(zip(names, tensors, strict=True)))
        return (y, *states, *shown.values())

    return outputs, tuple(sequence.tensors.values())


@pytest.mark.grid(cell=CELLS, way=["plain", "reverse", "packed", "lengths"], asked=list(ASKED))
def test_gradients_are_the_slopes(cell, way, asked):
    assert gradcheck(*arguments(make(cell, Size(T=3, B=2, I=2, H=3), way, asked)))


@pytest.mark.grid(cell=["lstm", "gru"], way=["plain", "lengths"])
def test_second_derivatives_are_the_slopes_of_the_first(cell, way):
    assert gradgradcheck(*arguments(make(cell, Size(T=2, B=2, I=1, H=2), way)))


def test_functional_transforms():
    outputs, tensors = arguments(make("lstm", SIZE, "plain"))

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


# ---- layers ---------------------------------------------------------------------------------------------------------


def test_fields_are_named_and_shaped_as_documented():
    layer = carrousel.LSTM(3, 7, num_layers=2, bidirectional=True, proj_size=5)
    y, (h, c), inside = layer(torch.randn(6, 4, 3), return_states=True, return_gates=True)
    assert inside._fields == ("h", "c", "i", "f", "g", "o")
    for name, field in zip(inside._fields, inside):
        assert len(field) == 4
        assert all(tensor.shape == (6, 4, 5 if name == "h" else 7) for tensor in field)
    assert torch.equal(torch.cat(inside.h[2:], -1), y)
    for k in range(4):
        last = 0 if k % 2 else -1  # the second direction ends at the first step
        assert torch.equal(inside.h[k][last], h[k])
        assert torch.equal(inside.c[k][last], c[k])


def test_only_what_is_asked_for():
    layer, x = carrousel.GRU(3, 7), torch.randn(6, 4, 3)
    assert len(layer(x)) == 2
    assert layer(x, return_states=True)[2]._fields == ("h",)
    assert layer(x, return_gates=True)[2]._fields == ("r", "z", "n")
    assert carrousel.RNN(3, 7)(x, return_gates=True)[2]._fields == ()


@pytest.mark.parametrize("form", ["batch_first", "without a batch", "packed", "offsets"])
def test_forms_of_input(form):
    """Every form holds the numbers of the padded batch."""
    layer = carrousel.LSTM(3, 7, num_layers=2, bidirectional=True, batch_first=form == "batch_first").double()
    x, lengths = torch.randn(4, 6, 3, dtype=torch.float64), torch.tensor([3, 6, 1, 5])
    there = torch.arange(6) < lengths[:, None]
    padded = x if form == "batch_first" else x.transpose(0, 1)
    ask = {"return_states": True, "return_gates": True}
    whole = layer(padded, lengths=lengths, **ask)[2]
    by_row = [[t if form == "batch_first" else t.transpose(0, 1) for t in field] for field in whole]
    if form == "packed":
        packed = pack_padded_sequence(padded, lengths, enforce_sorted=False)
        inside = layer(packed, **ask)[2]
        assert isinstance(inside.c[0], PackedSequence)
        got = [[pad_packed_sequence(t, batch_first=True)[0] for t in field] for field in inside]
        expected = by_row
    elif form == "offsets":
        got = layer(x[there], offsets=[0, 3, 9, 10, 15], **ask)[2]
        expected = [[t[there] for t in field] for field in by_row]
    elif form == "without a batch":
        got = layer(x[1], **ask)[2]
        expected = [[t[1] for t in field] for field in by_row]
    else:
        got = [[torch.stack([layer(x[b : b + 1, :n], **ask)[2][f][k][0, 0] for b, n in enumerate(lengths)])
                for k in range(4)] for f in range(len(whole))]  # fmt: skip
        expected = [[t[:, 0] for t in field] for field in by_row]
    for ours, theirs in zip(got, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_a_loss_on_gates_alone_reaches_every_weight_below():
    layer = carrousel.LSTM(3, 7, num_layers=2)
    inside = layer(torch.randn(6, 4, 3), return_gates=True)[2]
    inside.f[1].square().mean().backward()
    assert all(p.grad.any() for name, p in layer.named_parameters())


def test_dropout_with_batch_first():
    layer = carrousel.LSTM(3, 7, num_layers=2, dropout=0.5, batch_first=True)
    x = torch.randn(4, 6, 3)
    torch.manual_seed(5)
    y, _, inside = layer(x, return_states=True)
    torch.manual_seed(5)
    assert torch.equal(layer(x)[0], y)
    assert torch.equal(inside.h[1], y)
    assert inside.c[0].shape == (4, 6, 7)


def test_a_change_in_place_is_noticed():
    layer = carrousel.LSTM(3, 7)
    y, _, inside = layer(torch.randn(6, 4, 3), return_gates=True)
    inside.i[0].data_ptr()
    with torch.no_grad():
        inside.i[0].zero_()
    with pytest.raises(RuntimeError, match="inplace"):
        y.sum().backward()


def test_a_type_without_kernels():
    layer, x = carrousel.LSTM(3, 7).bfloat16(), torch.randn(6, 4, 3).bfloat16()
    exact = carrousel.LSTM(3, 7).double()
    exact.load_state_dict(layer.state_dict())
    inside, expected = (m(v, return_states=True)[2] for m, v in ((layer, x), (exact, x.double())))
    assert inside.c[0].dtype == torch.bfloat16
    assert (inside.c[0].double() - expected.c[0]).abs().max() < 0.1


@needs_ops
def test_a_compiled_layer():
    torch.compiler.reset()
    layer, x = carrousel.GRU(3, 7, num_layers=2, bidirectional=True), torch.randn(6, 4, 3)
    expected = layer(x, return_states=True, return_gates=True)[2]
    got = torch.compile(layer, fullgraph=True, backend="aot_eager")(x, return_states=True, return_gates=True)[2]
    for ours, theirs in zip(got, expected, strict=True):
        assert all(map(torch.equal, ours, theirs))


# ---- how gates are found --------------------------------------------------------------------------------------------


def test_a_cell_of_ones_own():
    """What a row goes into: arithmetic before its function; a state's function, and a second one, are no gates."""

    def step(rows, states):
        s, a, b = rows
        h, s_old = states
        s_new = s_old + s  # a state with a row in it, whose function is not the row's
        gate = sigmoid(2 * a - 1) * tanh(b) + sigmoid(b)
        return gate * tanh(s_new) + 0 * h, s_new

    cell = Cell("own", rows="sab", from_x="abs", from_h="ab", states=("h", "s"), step=step)
    assert tuple(gates_of(cell)) == ("a", "b")
    *_, inside = carrousel.Recurrent(cell, 3, 7)(torch.randn(6, 4, 3), return_states=True, return_gates=True)
    assert inside._fields == ("h", "s", "a", "b")
    assert ((inside.a[0] > 0) & (inside.a[0] < 1)).all()
    assert inside.b[0].min() < 0  # tanh, not sigmoid
