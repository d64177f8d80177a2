"""The specification against the papers' equations in numpy, one row of the batch at a time."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import torch
from sequences import (
    CELLS,
    SIZES,
    WAYS,
    Sequence,
    Shape,
    differentiable,
    make_sequence,
    reads_h,
    run,
    same_bits,
    weight_name,
)
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from twins import Size

from carrousel.cells import ALL, Cell, sigmoid
from carrousel.scan import Rows, Weights, scan

DOUBLE = torch.float64
SHAPES = {"biases": Shape(), "no_bias": Shape(bias=False), "projected": Shape(projected=True)}
TINY = Size(T=3, B=2, I=2, H=3)


def make(cell: str, size: Size, way: str, shape: Shape) -> Sequence:
    """As make_sequence; a cell whose equations use h goes without the projection, for which it has no meaning."""
    return make_sequence(cell, size, way, shape._replace(projected=shape.projected and not reads_h(ALL[cell])))


def by_oracle(sequence: Sequence):
    """y as `scan` shapes it, and the final states, from the papers' equations."""
    tensors = {name: t.numpy() for name, t in sequence.tensors.items()}
    options = sequence.options
    sizes, reverse = options.get("batch_sizes"), options.get("reverse", False)
    states = [tensors[name] for name in sequence.cell.states]
    weights = {name: tensors[weight_name(name)] for name in Weights._fields if weight_name(name) in tensors}
    x, lengths = sequence.tensors["x"], None
    if sizes is not None:
        x, lengths = pad_packed_sequence(torch.nn.utils.rnn.PackedSequence(x, sizes))
    if options.get("batch_first"):
        x = x.transpose(0, 1)
    y, states = oracle.run_batch(sequence.cell.name, x.numpy(), states, weights, lengths, reverse)
    y = torch.from_numpy(np.ascontiguousarray(y))
    if sizes is not None:
        y = pack_padded_sequence(y, lengths).data
    if options.get("batch_first"):
        y = y.transpose(0, 1)
    return y, [torch.from_numpy(s) for s in states]


@pytest.mark.grid(cell=CELLS, size=SIZES, way=list(WAYS), shape=SHAPES)
def test_values_are_the_papers(cell, size, way, shape):
    sequence = make(cell, size, way, shape)
    y, states = sequence.call(scan)
    expected_y, expected_states = by_oracle(sequence)
    torch.testing.assert_close(y, expected_y, rtol=1e-12, atol=1e-12)
    for state, expected in zip(states, expected_states, strict=True):
        torch.testing.assert_close(state, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.grid(cell=CELLS, way=list(WAYS), shape=SHAPES)
def test_twice_differentiable(cell, way, shape):
    outputs, tensors = differentiable(make(cell, TINY, way, shape), scan)
    assert gradcheck(outputs, tensors, fast_mode=True)
    assert gradgradcheck(outputs, tensors, fast_mode=True)


@pytest.mark.grid(cell=CELLS, dtype={"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16})
def test_dtype_is_the_inputs(cell, dtype):
    sequence = make_sequence(cell, TINY)
    results = run(scan, sequence, dtype)
    exact = run(scan, sequence, DOUBLE)
    for name, tensor in results.items():
        assert tensor.dtype == dtype
        torch.testing.assert_close(tensor.double(), exact[name], rtol=0, atol=40 * torch.finfo(dtype).eps)


@pytest.mark.grid(cell=CELLS)
def test_runs_on_any_device(cell):
    """The meta device computes shapes only, and refuses what would stay on the CPU."""
    sequence = make_sequence(cell, TINY)
    sequence.tensors = {name: t.to("meta") for name, t in sequence.tensors.items()}
    y, states = sequence.call(scan)
    assert (y.device.type, y.shape) == ("meta", (3, 2, 3))
    assert all(state.shape == (2, 3) for state in states)


@pytest.mark.grid(cell=CELLS)
def test_states_are_carried_on(cell):
    """Time split anywhere, with the states handed over, changes nothing."""
    sequence = make_sequence(cell, Size(T=6, B=3, I=2, H=5))
    y, states = sequence.call(scan)
    for t in range(1, 6):
        x = sequence.tensors["x"]
        first, between = sequence.call(scan, x=x[:t])
        second, last = sequence.call(scan, x=x[t:], **dict(zip(sequence.cell.states, between, strict=True)))
        torch.testing.assert_close(torch.cat([first, second]), y, rtol=1e-14, atol=1e-14)
        for ours, theirs in zip(last, states, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=1e-14)


@pytest.mark.grid(cell=CELLS, way=list(WAYS))
def test_last_output_is_the_final_h(cell, way):
    sequence = make_sequence(cell, Size(T=5, B=4, I=2, H=3), way)
    y, (h, *_) = sequence.call(scan)
    sizes = sequence.options.get("batch_sizes")
    if sizes is not None:
        y, lengths = pad_packed_sequence(torch.nn.utils.rnn.PackedSequence(y, sizes))
    else:
        y, lengths = y.transpose(0, 1) if sequence.options.get("batch_first") else y, torch.full((4,), 5)
    last = torch.zeros(4, dtype=torch.int64) if sequence.options.get("reverse") else lengths - 1
    assert same_bits(h, y[last, torch.arange(4)])


@pytest.mark.grid(cell=CELLS)
def test_empty_batch(cell):
    sequence = make_sequence(cell, Size(T=3, B=0, I=2, H=4))
    y, states = sequence.call(scan)
    assert y.shape == (3, 0, 4)
    assert all(state.shape == (0, 4) for state in states)


def test_cell_without_recurrent_rows():
    """Gates of x alone, as in minGRU: R is empty, and time is a running mean."""
    cell = Cell(
        "mean", "zg", "zg", "", "h", lambda rows, states: (states[0] + sigmoid(rows[0]) * (rows[1] - states[0]),)
    )
    weights = Weights(W=torch.zeros(8, 3, dtype=DOUBLE), R=torch.zeros(0, 4, dtype=DOUBLE))
    y, (h,), _ = scan(cell, torch.randn(5, 2, 3, dtype=DOUBLE), (torch.ones(2, 4, dtype=DOUBLE),), weights)
    torch.testing.assert_close(y[:, 0, 0], 0.5 ** torch.arange(1, 6, dtype=DOUBLE))
    assert torch.equal(h, y[-1])


def packed(*sizes: int) -> dict:
    return {"x": torch.zeros(sum(sizes), 2), "batch_sizes": torch.tensor(sizes, dtype=torch.int64)}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"x": torch.zeros(3, 2)}, r"x has shape \[3, 2\]"),
        ({"x": torch.zeros(3, 4, 5)}, r"x has shape \[3, 4, 5\]"),
        ({"x": torch.zeros(0, 4, 2)}, r"x has shape \[0, 4, 2\].* T of 1 or more"),
        ({"x": torch.zeros(3, 5, 2)}, r"state h has shape \[4, 3\], expected \[5, 3\]"),
        ({"x": torch.zeros(3, 4, 2), "batch_first": True}, r"state h has shape \[4, 3\], expected \[3, 3\]"),
        ({"h": torch.zeros(4, 2)}, r"state h has shape \[4, 2\], expected \[4, 3\]"),
        ({"c": torch.zeros(3)}, r"state c has shape \[3\], expected \[4, 3\]"),
        ({"states": 1}, "got 1 states, expected 2: .*'h', 'c'"),
        ({"W": torch.zeros(13, 2)}, r"weights\.W has shape \[13, 2\], expected \[12, 2\]"),
        ({"R": torch.zeros(12, 4)}, r"weights\.R has shape \[12, 4\], expected \[12, 3\]"),
        ({"b_x": torch.zeros(3)}, r"weights\.b_x has shape \[3\], expected \[12\]"),
        ({"b_h": torch.zeros(3)}, r"weights\.b_h has shape \[3\], expected \[12\]"),
        ({"p": torch.zeros(3)}, r"weights\.c has shape \[3\], expected \[9\]"),
        ({"p": None}, r"weights\.c must be given"),
        ({"P": torch.zeros(3, 2)}, r"weights\.P has shape \[3, 2\], expected \[3, 3\]"),
        ({"cell": "lstm", "p": torch.zeros(0)}, r"weights\.c must be None"),
        (packed(4, 4, 5), r"batch_sizes=\[4, 4, 5\] must be positive and never increase"),
        (packed(4, 0), r"batch_sizes=\[4, 0\]"),
        (packed(), r"batch_sizes=\[\]"),
        (packed(3, 2), r"state h has shape \[4, 3\], expected \[3, 3\]"),
        (packed(4, 2) | {"x": torch.zeros(7, 2)}, r"packed x has shape \[7, 2\], expected \[6, 2\]"),
    ],
)
def test_what_does_not_fit_is_named(changed, says):
    good = {"x": torch.zeros(3, 4, 2), "h": torch.zeros(4, 3), "c": torch.zeros(4, 3), "p": torch.zeros(9), "states": 2}
    given = good | {"cell": "peephole", "W": torch.zeros(12, 2), "R": torch.zeros(12, 3)} | changed
    weights = Weights(given["W"], given["R"], given.get("b_x"), given.get("b_h"), given["p"], given.get("P"))
    states = (given["h"], given["c"])[: given["states"]]
    rows = Rows(**{name: given[name] for name in ("batch_sizes", "batch_first") if name in given})
    with pytest.raises(ValueError, match=f"^{given['cell']}: .*{says}"):
        scan(ALL[given["cell"]], given["x"], states, weights, rows)
