"""mLSTM's forms: step by step, chunk by chunk and all at once are equal, and their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mlstm_forms import by_steps, in_parallel
from torch.autograd import gradcheck
from twins import assert_equal_to_1e10

from carrousel.layers.mlstm.chunks import run_chunkwise
from carrousel.layers.mlstm.memory import Inputs, Memory

DOUBLE = torch.float64
B, N, T, d = 2, 3, 37, 4


def make_inputs(T=T, dtype=DOUBLE, scale=1.0):
    q, k, v = (torch.randn(B, N, T, d, dtype=DOUBLE) for _ in range(3))
    i, f = (scale * torch.randn(B, N, T, dtype=DOUBLE) for _ in range(2))
    return Inputs(*(x.to(dtype) for x in (q, k / math.sqrt(d), v, i, torch.nn.functional.logsigmoid(f + 1))))


def empty(dtype=DOUBLE):
    return Memory(*(torch.zeros(B, N, *rest, dtype=dtype) for rest in ((d, d), (d,), ())))


def some_memory():
    """One that a sequence ends with."""
    return by_steps(make_inputs(9), empty())[1]


def by_the_paper(inputs):
    """Beck 2024, equations 19 to 27 but for the output gate, not stabilised: a head of a row at a time, in numpy."""
    q, k, v, i, log_f = (x.numpy() for x in inputs)
    h = np.zeros_like(q)
    for b, head in np.ndindex(B, N):
        C, n = np.zeros((d, d)), np.zeros(d)
        for t in range(q.shape[2]):
            at = b, head, t
            C = np.exp(log_f[at]) * C + np.exp(i[at]) * np.outer(v[at], k[at])
            n = np.exp(log_f[at]) * n + np.exp(i[at]) * k[at]
            h[at] = C @ q[at] / max(abs(n @ q[at]), 1)
    return torch.from_numpy(h)


def named(h, memory):
    return {"h": h.detach()} | {name: x.detach() for name, x in memory._asdict().items()}


# ---- the forms


def test_step_by_step_is_the_papers():
    inputs = make_inputs()
    assert_equal_to_1e10({"h": by_steps(inputs, empty())[0]}, {"h": by_the_paper(inputs)})


@pytest.mark.parametrize("chunk_size", [1, 2, 5, 36, 37, 64])
@pytest.mark.parametrize("start", [empty, some_memory], ids=["empty", "carried"])
def test_chunks_of_any_size_are_step_by_step(chunk_size, start):
    inputs, memory = make_inputs(), start()
    got, expected = named(*run_chunkwise(inputs, memory, chunk_size)), named(*by_steps(inputs, memory))
    assert_equal_to_1e10(got, expected)


def test_the_parallel_form_is_step_by_step():
    inputs = make_inputs()
    assert_equal_to_1e10({"h": in_parallel(inputs)}, {"h": by_steps(inputs, empty())[0]})


@pytest.mark.parametrize("cut", [1, 12, 36])
def test_time_split_anywhere(cut):
    inputs = make_inputs()
    whole, last = run_chunkwise(inputs, empty(), 8)
    first, between = run_chunkwise(Inputs(*(x[:, :, :cut] for x in inputs)), empty(), 8)
    second, end = run_chunkwise(Inputs(*(x[:, :, cut:] for x in inputs)), between, 8)
    assert_equal_to_1e10(named(torch.cat([first, second], 2), end), named(whole, last))


@pytest.mark.parametrize("chunk_size", [8, 64])
def test_float32_is_right_to_rounding(chunk_size):
    """h is a quotient: its error is told in parts of the largest h."""
    inputs = make_inputs(200)
    exact, _ = by_steps(inputs, empty())
    single = Inputs(*(x.float() for x in inputs))
    for h in (run_chunkwise(single, empty(torch.float32), chunk_size)[0], by_steps(single, empty(torch.float32))[0]):
        assert h.isfinite().all()
        assert (h.double() - exact).square().mean().sqrt() < 2e-5 * exact.square().mean().sqrt()


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("scale", [100.0, 3000.0])
def test_gates_far_outside_the_range_of_exp(dtype, scale):
    inputs = make_inputs(dtype=dtype, scale=scale)
    inputs = Inputs(*(x.clone().requires_grad_() for x in inputs))
    for form in (lambda: run_chunkwise(inputs, empty(dtype), 8), lambda: by_steps(inputs, empty(dtype))):
        h, _ = form()
        assert h.isfinite().all()
        assert all(g.isfinite().all() for g in torch.autograd.grad(h.sum(), inputs))
    torch.testing.assert_close(
        run_chunkwise(inputs, empty(dtype), 8)[0], by_steps(inputs, empty(dtype))[0], rtol=1e-2, atol=1e-3
    )


def test_a_query_of_zeros_reads_zeros():
    inputs = make_inputs(dtype=torch.float32)
    inputs = inputs._replace(q=torch.zeros_like(inputs.q), i=inputs.i + 200)
    for h, _ in (run_chunkwise(inputs, empty(torch.float32), 8), by_steps(inputs, empty(torch.float32))):
        assert not h.any()


def test_steps_that_are_not_there_leave_the_memory():
    inputs, memory = make_inputs(20), some_memory()
    longer = Inputs(*(torch.cat([x, make_inputs(23)[k]], 2) for k, x in enumerate(inputs)))
    longer.i[:, :, 20:], longer.log_f[:, :, 20:] = -math.inf, 0.0
    h, last = run_chunkwise(longer, memory, 8)
    expected, end = run_chunkwise(inputs, memory, 8)
    assert_equal_to_1e10(named(h[:, :, :20], last), named(expected, end))
    assert h.isfinite().all()


@pytest.mark.parametrize("start", [empty, some_memory], ids=["empty", "carried"])
@pytest.mark.parametrize("chunk_size", [2, 5])
def test_gradients(chunk_size, start):
    """Of h and of the memory that is left, by all that goes in."""
    inputs, memory = make_inputs(5), start()
    leaves = [x.detach().requires_grad_() for x in (*inputs, *memory)]

    def outputs(*tensors):
        h, last = run_chunkwise(Inputs(*tensors[:5]), Memory(*tensors[5:]), chunk_size)
        return (h, *last)

    assert gradcheck(outputs, leaves, fast_mode=True)


@pytest.mark.parametrize("chunk_size", [3, 64])
def test_gradients_are_those_of_step_by_step(chunk_size):
    inputs, memory = make_inputs(), some_memory()
    leaves = [x.detach().requires_grad_() for x in (*inputs, *memory)]
    inputs, memory = Inputs(*leaves[:5]), Memory(*leaves[5:])
    weights = torch.randn(B, N, T, d, dtype=DOUBLE)
    ours = torch.autograd.grad((run_chunkwise(inputs, memory, chunk_size)[0] * weights).sum(), leaves)
    theirs = torch.autograd.grad((by_steps(inputs, memory)[0] * weights).sum(), leaves)
    assert_equal_to_1e10(dict(enumerate(ours)), dict(enumerate(theirs)))


# ---- resets


RESETS = {
    "one": [7],
    "the first": [0],
    "at chunks": [5, 10],
    "often": [1, 2, 3, 8, 11, 12],
    "every": range(T),
    "none": [],
}


def flags(steps, T=T):
    """[B, T]: those steps of the first row, and the same and one more of the second."""
    resets = torch.zeros(B, T, dtype=torch.bool)
    resets[:, list(steps)] = True
    resets[1, T // 2] = True
    return resets


@pytest.mark.parametrize("chunk_size", [1, 5, 64])
@pytest.mark.parametrize("restored", [None, some_memory], ids=["to nothing", "to a memory"])
@pytest.mark.parametrize("steps", RESETS.values(), ids=list(RESETS))
def test_resets_are_step_by_step(chunk_size, restored, steps):
    """The memory, what is restored, and gradients by all that goes in."""
    restored = some_memory() if restored else None
    leaves = [x.detach().requires_grad_() for x in (*make_inputs(), *some_memory(), *(restored or ()))]
    given = Inputs(*leaves[:5]), Memory(*leaves[5:8])
    after = flags(steps), Memory(*leaves[8:]) if restored else None
    got, expected = run_chunkwise(*given, chunk_size, *after), by_steps(*given, *after)
    assert_equal_to_1e10(named(*got), named(*expected))
    weights = [torch.randn_like(x) for x in (got[0], *got[1])]
    grads = (
        torch.autograd.grad(sum((x * w).sum() for x, w in zip((h, *last), weights)), leaves, materialize_grads=True)
        for h, last in (got, expected)
    )
    assert_equal_to_1e10(*(dict(enumerate(of_leaves)) for of_leaves in grads))
