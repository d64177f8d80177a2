"""What the kernels promise to the last bit: splits of time, independence of rows, any number of threads, repetition."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sequences import CELLS, SIZES, WAYS, Shape, assert_same_bits, make_sequence, reads_h, run, same_bits
from twins import Size, assert_equal_to_1e10, scalar_of

from carrousel.cells import ALL
from carrousel.fused import fused

needs_kernels = pytest.mark.skipif(
    find_spec("carrousel._kernels") is None,
    reason="built without kernels: scan's matrix products are torch's, whose bits change with the number of rows",
)
DTYPES = {"float32": torch.float32, "float64": torch.float64}
# Sizes that give several threads something to do, each with its reason.
BUSY = {
    "B1_H64_no_rows_to_share": Size(T=20, B=1, I=16, H=64),
    "B7_fewer_rows_than_tiles": Size(T=9, B=7, I=5, H=33),
    "B64_rows_for_all": Size(T=12, B=64, I=4, H=40),
    "B48_H256_weights_beyond_a_cache": Size(T=4, B=48, I=32, H=256),
    "T200_long_sums_over_time": Size(T=200, B=8, I=7, H=16),
}


@needs_kernels
@pytest.mark.grid(cell=CELLS, size=BUSY, way=list(WAYS), dtype=DTYPES)
def test_any_number_of_threads(cell, size, way, dtype):
    sequence = make_sequence(cell, size, way)
    torch.set_num_threads(1)
    alone = run(fused, sequence, dtype)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        assert_same_bits(run(fused, sequence, dtype), alone)


@pytest.mark.grid(cell=CELLS, size=SIZES, way=list(WAYS), dtype=DTYPES)
def test_a_second_run(cell, size, way, dtype):
    sequence = make_sequence(cell, size, way)
    assert_same_bits(run(fused, sequence, dtype), run(fused, sequence, dtype))


def split_in_time(sequence, step):
    """y and final states of a sequence run in two parts, before and from `step` on, the state carried over."""
    reverse, time = sequence.options.get("reverse", False), int(sequence.options.get("batch_first", False))
    x = sequence.tensors["x"]
    parts = [x.narrow(time, 0, step), x.narrow(time, step, x.shape[time] - step)]
    states, ys = {}, []
    for part in reversed(parts) if reverse else parts:
        y, final = sequence.call(fused, x=part, **states)
        states = dict(zip(sequence.cell.states, final, strict=True))
        ys.append(y)
    return torch.cat(ys[::-1] if reverse else ys, dim=time), tuple(states.values())


@needs_kernels
@pytest.mark.grid(cell=CELLS, size=SIZES, way=["plain", "reverse", "batch_first", "batch_first_reverse"], dtype=DTYPES)
def test_time_split_anywhere(cell, size, way, dtype):
    if size.T == 1:
        size = size._replace(T=2)
    sequence = make_sequence(cell, size, way).to(dtype)
    y, states = sequence.call(fused)
    for step in range(1, size.T):
        split_y, split_states = split_in_time(sequence, step)
        assert same_bits(split_y, y), f"split at {step}"
        assert all(map(same_bits, split_states, states)), f"split at {step}"


@needs_kernels
@given(
    cell=st.sampled_from(CELLS),
    size=st.builds(Size, T=st.integers(2, 40), B=st.integers(1, 15), I=st.integers(1, 40), H=st.integers(1, 70)),
    dtype=st.sampled_from(list(DTYPES.values())),
    data=st.data(),
)
def test_time_split_anywhere_of_any_shape(cell, size, dtype, data):
    sequence = make_sequence(cell, size).to(dtype)
    y, states = sequence.call(fused)
    split_y, split_states = split_in_time(sequence, data.draw(st.integers(1, size.T - 1)))
    assert same_bits(split_y, y)
    assert all(map(same_bits, split_states, states))


@pytest.mark.grid(
    cell=CELLS, size=SIZES, way=["plain", "reverse", "batch_first"], dtype=DTYPES, poisoned=["x", "states"]
)
def test_rows_never_see_each_other(cell, size, way, dtype, poisoned):
    """NaN in one row's input or states leaves the others' bits alone, in the outputs and in the gradients of x."""
    sequence = make_sequence(cell, size._replace(B=size.B + 1), way).to(dtype)
    rows = int(not sequence.options.get("batch_first", False))
    for row in {0, size.B // 2, size.B}:
        spoiled = sequence.to(dtype)
        for name in ["x"] if poisoned == "x" else sequence.cell.states:
            spoiled.tensors[name].select(rows if name == "x" else 0, row).fill_(float("nan"))
        clean, dirty = (run(fused, s, dtype, names=["x", *sequence.cell.states]) for s in (sequence, spoiled))
        for name in clean:
            axis = rows if name in ("y", "grad of x") else 0
            others = [k for k in range(size.B + 1) if k != row]
            left, right = (result[name].index_select(axis, torch.tensor(others)) for result in (clean, dirty))
            assert same_bits(left, right), f"{name}: NaN in row {row} was seen by another row"
        assert dirty["y"].select(rows, row).isnan().any()


@pytest.mark.grid(cell=CELLS, size=SIZES, way=list(WAYS), dtype=DTYPES)
def test_no_grad_gives_the_bits_of_grad(cell, size, way, dtype):
    sequence = make_sequence(cell, size, way).to(dtype)
    with torch.no_grad():
        y, states = sequence.call(fused)
    assert not y.requires_grad
    with torch.inference_mode():
        inferred, _ = sequence.to(dtype).call(fused)
    trained, trained_states = sequence.requires_grad_().call(fused)
    assert trained.requires_grad
    assert same_bits(y, trained.detach())
    assert same_bits(inferred, y)
    assert all(same_bits(a, b.detach()) for a, b in zip(states, trained_states, strict=True))


@pytest.mark.grid(cell=CELLS, wanted=["x", "h", "weights.W", "weights.R", "weights.b_x", "weights.b_h", "all states"])
def test_only_some_gradients_wanted(cell, wanted):
    """The others get none, and the one wanted has the bits that it has among all."""
    sequence = make_sequence(cell, Size(T=5, B=4, I=6, H=18))
    names = list(sequence.cell.states) if wanted == "all states" else [wanted]
    few, every = run(fused, sequence, torch.float32, names), run(fused, sequence, torch.float32)
    assert [name for name in few if name.startswith("grad")] == [f"grad of {name}" for name in names]
    assert_same_bits(few, {name: every[name] for name in few})


@pytest.mark.parametrize("cell", [name for name, cell in ALL.items() if cell.weights])
def test_only_the_per_unit_weights_wanted(cell):
    sequence = make_sequence(cell, Size(T=5, B=4, I=6, H=18))
    few, every = run(fused, sequence, torch.float32, ["weights.c"]), run(fused, sequence, torch.float32)
    assert_same_bits(few, {name: every[name] for name in few})


@pytest.mark.grid(cell=CELLS, used=["y", "states", "last step", "first state"])
def test_only_some_outputs_used(cell, used):
    """Outputs that the loss leaves out come back as no gradient or as zeros, and are taken as zeros."""
    sequence = make_sequence(cell, Size(T=5, B=4, I=6, H=18))

    def gradients(select):
        ready = sequence.to(torch.float32).requires_grad_()
        y, states = ready.call(fused)
        select(y, states).backward()
        return {name: tensor.grad for name, tensor in ready.tensors.items()}

    losses = {
        "y": (lambda y, s: y.sum(), lambda y, s: y.sum() + 0 * sum(t.sum() for t in s)),
        "states": (lambda y, s: sum(t.sum() for t in s), lambda y, s: 0 * y.sum() + sum(t.sum() for t in s)),
        "last step": (lambda y, s: y[-1].sum(), lambda y, s: y[-1].sum() + 0 * y.sum() + 0 * s[-1].sum()),
        "first state": (lambda y, s: s[0].sum(), lambda y, s: s[0].sum() + 0 * y.sum() + 0 * s[-1].sum()),
    }
    few, whole = (gradients(select) for select in losses[used])
    for name in whole:
        torch.testing.assert_close(few[name], whole[name], rtol=0, atol=0, msg=f"gradient of {name}")


def scalar_of_squares(y, states):
    return sum(output.square().sum() for output in (y, *states))


@pytest.mark.grid(cell=CELLS, way=list(WAYS), dtype=DTYPES)
def test_backward_twice_through_a_retained_graph(cell, way, dtype):
    ready = make_sequence(cell, Size(T=5, B=4, I=6, H=18), way).to(dtype).requires_grad_()
    loss = scalar_of_squares(*ready.call(fused))
    inputs = list(ready.tensors.values())
    first = torch.autograd.grad(loss, inputs, retain_graph=True)
    second = torch.autograd.grad(loss, inputs)
    assert all(map(same_bits, first, second))
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, inputs)


def strided(tensor, how):
    """The same numbers laid out otherwise."""
    if how == "every second":
        return torch.stack([tensor, torch.full_like(tensor, float("nan"))], dim=-1)[..., 0]
    if how == "transposed":
        return tensor.mT.contiguous().mT if tensor.dim() > 1 else tensor
    return torch.cat([torch.full_like(tensor[:1], float("nan")), tensor])[1:]  # "offset": no longer aligned


@pytest.mark.grid(cell=CELLS, way=list(WAYS), how=["every second", "transposed", "offset"])
def test_memory_layout_does_not_matter(cell, way, how):
    sequence = make_sequence(cell, Size(T=5, B=4, I=6, H=17), way)
    views = {name: strided(tensor, how).detach().requires_grad_() for name, tensor in sequence.tensors.items()}
    y, states = sequence.call(fused, **views)
    scalar_of([y, *states]).backward()
    got = {"y": y.detach()} | {f"grad of {name}": view.grad for name, view in views.items()}
    expected = run(fused, sequence, torch.float64)
    assert_equal_to_1e10(got, {name: expected[name] for name in got})


@pytest.mark.parametrize("cell", CELLS)
def test_expanded_inputs(cell):
    """Stride 0: one row and one state shown B times."""
    sequence = make_sequence(cell, Size(T=5, B=4, I=6, H=17))
    shown = {name: sequence.tensors[name][..., :1, :].expand_as(sequence.tensors[name]) for name in ["x", "h"]}
    y, states = sequence.call(fused, **shown)
    copied, copied_states = sequence.call(fused, **{name: tensor.contiguous() for name, tensor in shown.items()})
    assert_equal_to_1e10({"y": y, "h": states[0]}, {"y": copied, "h": copied_states[0]})


@pytest.mark.parametrize("cell", CELLS)
def test_expanded_gradients(cell):
    """`sum().backward()` sends back one number with stride 0."""
    ready = make_sequence(cell, Size(T=5, B=4, I=6, H=17)).requires_grad_()
    y, _ = ready.call(fused)
    inputs = list(ready.tensors.values())
    broad = torch.autograd.grad(y.sum(), inputs, retain_graph=True, materialize_grads=True)
    dense = torch.autograd.grad(y, inputs, torch.ones_like(y), materialize_grads=True)
    assert_equal_to_1e10(dict(zip(ready.tensors, broad)), dict(zip(ready.tensors, dense)))


@needs_kernels
@pytest.mark.grid(cell=[name for name in CELLS if not reads_h(ALL[name])], dtype=DTYPES)
def test_projection_time_split_and_threads(cell, dtype):
    sequence = make_sequence(cell, Size(T=7, B=6, I=5, H=19), shape=Shape(projected=True)).to(dtype)
    y, states = sequence.call(fused)
    for step in range(1, 7):
        split_y, split_states = split_in_time(sequence, step)
        assert same_bits(split_y, y)
        assert all(map(same_bits, split_states, states))
    alone = run(fused, sequence, dtype)
    torch.set_num_threads(3)
    assert_same_bits(run(fused, sequence, dtype), alone)
