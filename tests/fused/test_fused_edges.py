"""What `fused` does at the edges: nothing to compute, types and devices without kernels, mistakes, changes in place."""

from __future__ import annotations

import pytest
import torch
from sequences import CELLS, WAYS, make_sequence, run, same_bits
from twins import Size, assert_equal_to_1e10

from carrousel.cells import ALL
from carrousel.fused import fused
from carrousel.scan import scan

SIZE = Size(T=5, B=4, I=6, H=18)
SHAPED = ["x", "h", "weights.W", "weights.R", "weights.b_x", "weights.b_h"]


@pytest.mark.grid(cell=CELLS, way=["plain", "reverse", "batch_first"], dtype=[torch.float32, torch.float64])
def test_no_rows(cell, way, dtype):
    """B = 0, the last batch of a filtered data set: empty outputs, and zero gradients for the weights."""
    result = run(fused, make_sequence(cell, SIZE._replace(B=0), way), dtype)
    expected = run(scan, make_sequence(cell, SIZE._replace(B=0), way), dtype)
    for name, tensor in result.items():
        assert tensor.shape == expected[name].shape
        assert not tensor.any(), f"{name} must be empty or zero"


@pytest.mark.parametrize("cell", CELLS)
def test_no_steps(cell):
    """T = 0 has no output to return: an error, as torch's layers give."""
    with pytest.raises((ValueError, RuntimeError)):
        make_sequence(cell, SIZE._replace(T=0)).call(fused)


@pytest.mark.grid(cell=CELLS, dtype=[torch.int32, torch.int64, torch.uint8, torch.bool])
def test_integers_are_refused(cell, dtype):
    sequence = make_sequence(cell, SIZE)
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        sequence.call(fused, x=sequence.tensors["x"].to(dtype))
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        sequence.to(dtype).call(fused)


@pytest.mark.grid(cell=CELLS, name=SHAPED)
def test_mixed_types_are_refused(cell, name):
    sequence = make_sequence(cell, SIZE).to(torch.float32)
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        sequence.call(fused, **{name: sequence.tensors[name].double()})


@pytest.mark.grid(cell=CELLS, name=SHAPED, cut=["less", "more"])
def test_wrong_shapes_are_refused(cell, name, cut):
    """Before any pointer reaches the kernel: one column, unit or weight too few or too many."""
    sequence = make_sequence(cell, SIZE)
    right = sequence.tensors[name]
    wrong = right[..., :-1] if cut == "less" else torch.cat([right, right[..., :1]], dim=-1)
    if not right.numel():  # of what a cell has not there is nothing to cut off
        wrong = right.new_zeros(*right.shape[:-1], right.shape[-1] + 1)
    with pytest.raises((ValueError, RuntimeError)):
        sequence.call(fused, **{name: wrong})


@pytest.mark.parametrize("cell", CELLS)
def test_rows_that_do_not_match_are_refused(cell):
    sequence = make_sequence(cell, SIZE)
    for name in sequence.cell.states:
        with pytest.raises((ValueError, RuntimeError)):
            sequence.call(fused, **{name: sequence.tensors[name][:-1]})
    with pytest.raises((ValueError, RuntimeError)):
        sequence.call(fused, x=sequence.tensors["x"][:, :-1])


@pytest.mark.grid(cell=CELLS, batch_sizes=[[4, 4, 5], [4, 3, 0], [3, 3, 3], [4, 3, 3, 3], []])
def test_bad_batch_sizes_are_refused(cell, batch_sizes):
    """Growing, zero, adding up to less or more than the packed data, none: x has 4 + 3 + 2 rows."""
    sequence = make_sequence(cell, SIZE)
    sequence.options["batch_sizes"] = torch.tensor(batch_sizes, dtype=torch.int64)
    with pytest.raises((ValueError, RuntimeError)):
        sequence.call(fused, x=torch.randn(9, SIZE.I, dtype=torch.float64))


@pytest.mark.parametrize("cell", [name for name in CELLS if len(ALL[name].states) > 1])  # none at all are zeros
def test_missing_states_are_refused(cell):
    sequence = make_sequence(cell, SIZE)
    with pytest.raises((ValueError, RuntimeError)):
        sequence.call(lambda cell, x, states, *rest: fused(cell, x, states[:-1], *rest))


@pytest.mark.grid(cell=CELLS, way=list(WAYS), dtype=[torch.bfloat16, torch.float16])
def test_half_precision_falls_back_to_scan(cell, way, dtype):
    sequence = make_sequence(cell, SIZE, way)
    result, expected = run(fused, sequence, dtype), run(scan, sequence, dtype)
    assert all(torch.equal(result[name], expected[name]) for name in expected)


@pytest.mark.grid(cell=CELLS, way=["plain", "batch_first", "reverse"])
def test_meta_tensors_have_shapes_only(cell, way):
    sequence = make_sequence(cell, SIZE, way)
    y, states = sequence.call(fused)
    meta_y, meta_states = sequence.call(fused, **{name: t.to("meta") for name, t in sequence.tensors.items()})
    assert [t.device.type for t in (meta_y, *meta_states)] == ["meta"] * (1 + len(states))
    assert [(t.shape, t.dtype) for t in (meta_y, *meta_states)] == [(t.shape, t.dtype) for t in (y, *states)]


@pytest.mark.grid(cell=CELLS, way=list(WAYS), changed=["y", "states"], dtype=[torch.float32, torch.float64])
def test_outputs_changed_in_place(cell, way, changed, dtype):
    """The right gradients: what the backward pass needs of an output is not what the caller has changed."""
    sequence = make_sequence(cell, SIZE, way)

    def gradients(in_place):
        ready = sequence.to(dtype).requires_grad_()
        y, states = ready.call(fused)
        if changed == "y":
            y = y.mul_(2) if in_place else y * 2
        else:
            states = [state.mul_(2) if in_place else state * 2 for state in states]
        sum(output.sum() for output in (y, *states)).backward()
        return [tensor.grad for tensor in ready.tensors.values()]

    assert all(map(torch.equal, gradients(in_place=True), gradients(in_place=False)))


@pytest.mark.grid(cell=CELLS, changed=["x", "weights.W", "weights.R"], dtype=[torch.float32, torch.float64])
def test_inputs_changed_in_place(cell, changed, dtype):
    """Backward needs x, W and R as they were: changing one before it is torch's usual error."""
    ready = make_sequence(cell, SIZE).to(dtype).requires_grad_()
    y, _ = ready.call(fused)
    with torch.no_grad():
        ready.tensors[changed].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.grid(cell=CELLS, way=list(WAYS), size={"T1": Size(1, 4, 6, 18), "T5": SIZE})
def test_outputs_share_no_memory(cell, way, size):
    """Writing into one output, under no_grad, leaves the others and the inputs as they were."""
    sequence = make_sequence(cell, size, way)
    for spoiled in range(1 + len(sequence.cell.states)):
        mine = sequence.to(torch.float64)
        with torch.no_grad():
            y, states = mine.call(fused)
        outputs = [y, *states]
        before = [t.clone() for t in outputs]
        outputs[spoiled].fill_(99.0)
        assert all(same_bits(a, b) for k, (a, b) in enumerate(zip(outputs, before)) if k != spoiled)
        assert all(same_bits(mine.tensors[name], tensor) for name, tensor in sequence.tensors.items())


@pytest.mark.parametrize("cell", CELLS)
def test_inputs_are_only_read(cell):
    sequence = make_sequence(cell, SIZE)
    copy = sequence.to(torch.float64)
    run(fused, sequence, torch.float64)
    assert all(same_bits(sequence.tensors[name], tensor) for name, tensor in copy.tensors.items())


@pytest.mark.parametrize("cell", CELLS)
def test_functional_gradients(cell):
    """torch.func.grad, which calls the autograd formula in another way than `backward` does."""
    sequence = make_sequence(cell, SIZE)
    slope = torch.func.grad(lambda x: sequence.call(fused, x=x)[0].square().sum())(sequence.tensors["x"])
    expected = torch.func.grad(lambda x: sequence.call(scan, x=x)[0].square().sum())(sequence.tensors["x"])
    assert_equal_to_1e10({"x": slope}, {"x": expected})


@pytest.mark.parametrize("cell", [name for name, cell in ALL.items() if cell.weights])
def test_missing_per_unit_weights_are_refused(cell):
    sequence = make_sequence(cell, SIZE)
    del sequence.tensors["weights.c"]
    with pytest.raises((ValueError, RuntimeError)):
        sequence.call(fused)
