"""`linear_cross_entropy` beside `cross_entropy(linear(...))` of torch: the same numbers in less memory."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

import carrousel
from carrousel import output_layer
from carrousel.fused.kernels import KERNELS
from carrousel.output_layer import linear_cross_entropy

H = 6
TOLERANCE = {torch.float32: {"rtol": 1e-4, "atol": 1e-6}, torch.float64: {"rtol": 1e-12, "atol": 1e-13}}


@pytest.fixture(params=["kernel", 1, 4, 1000], ids=lambda by: by if by == "kernel" else f"{by} rows at a time")
def way(request, monkeypatch):
    """By the kernel; in torch operations by chunks of one row, of some (not a divisor of all), and all in one."""

    def choose(V):
        if request.param != "kernel":
            monkeypatch.setattr(output_layer, "has_kernel", lambda *operands: False)
            monkeypatch.setattr(output_layer, "LOGITS", request.param * V)

    return choose


def operands(V, dtype=torch.float64, bias=True, shape=(5, 3)):
    """h, W, b that require gradients, and targets of which some do not count."""
    random = torch.Generator().manual_seed(V)
    h, weight, b = (torch.randn(*size, H, generator=random, dtype=dtype) for size in (shape, (V,), (V,)))
    target = torch.randint(V, shape, generator=random)
    target.flatten()[[0, 4, -1]] = -100
    return h.requires_grad_(), weight.requires_grad_(), b[:, 0].clone().requires_grad_() if bias else None, target


def of_torch(h, weight, target, bias=None, **options):
    """The same in torch's operations."""
    losses = cross_entropy(linear(h, weight, bias).flatten(0, -2), target.flatten(), **options)
    return losses.view(target.shape) if options.get("reduction") == "none" else losses


@pytest.mark.grid(
    V=[1, 7, 300], dtype=list(TOLERANCE), bias=[True, False], reduction=["mean", "sum", "none"], smoothing=[0, 0.1, 1]
)
def test_losses_and_gradients_are_those_of_torch(V, dtype, bias, reduction, smoothing, way):
    way(V)
    h, weight, b, target = operands(V, dtype, bias)
    options = {"reduction": reduction, "label_smoothing": smoothing}
    ours, theirs = linear_cross_entropy(h, weight, target, b, **options), of_torch(h, weight, target, b, **options)
    torch.testing.assert_close(ours, theirs, **TOLERANCE[dtype])
    inputs = [each for each in (h, weight, b) if each is not None]
    upstream = torch.randn(ours.shape, dtype=dtype)
    expected = torch.autograd.grad(theirs, inputs, upstream)
    for _ in range(2):  # the first call gives away what the second computes again
        for got, wanted in zip(torch.autograd.grad(ours, inputs, upstream, retain_graph=True), expected, strict=True):
            torch.testing.assert_close(got, wanted, **TOLERANCE[dtype])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_second_gradients_are_those_of_torch(reduction):
    h, weight, bias, target = operands(5, shape=(6,))
    options = {"reduction": reduction, "label_smoothing": 0.1}
    assert torch.autograd.gradgradcheck(
        lambda *of: linear_cross_entropy(of[0], of[1], target, of[2], **options), (h, weight, bias)
    )


def test_large_logits_do_not_overflow():
    h, weight, bias, target = operands(9)
    far = (1e4 * h.detach()).requires_grad_()
    ours = linear_cross_entropy(far, weight, target, bias)
    torch.testing.assert_close(ours, of_torch(far, weight, target, bias), rtol=1e-12, atol=0)
    assert torch.autograd.grad(ours, far)[0].isfinite().all()


def test_the_loss_of_a_row_that_does_not_count_is_zero_whatever_it_holds():
    h, weight, bias, target = operands(9)
    with torch.no_grad():
        h.flatten(0, 1)[0] = torch.inf  # its target is -100
    losses = linear_cross_entropy(h, weight, target, bias, reduction="none")
    assert losses[0, 0] == 0
    assert losses.isfinite().all()


def test_if_no_row_counts_the_mean_is_nan_as_in_torch():
    h, weight, bias, target = operands(9)
    target = torch.full_like(target, -1)
    assert linear_cross_entropy(h, weight, target, bias, ignore_index=-1).isnan()
    assert linear_cross_entropy(h, weight, target, bias, ignore_index=-1, reduction="sum") == 0


@pytest.mark.parametrize("frozen", list(itertools.product([True, False], repeat=3)))
def test_operands_may_be_frozen(frozen):
    inputs = operands(7)[:3]
    target = operands(7)[3]
    for each, is_frozen in zip(inputs, frozen):
        each.requires_grad_(not is_frozen)
    loss = linear_cross_entropy(inputs[0], inputs[1], target, inputs[2])
    assert loss.requires_grad == (not all(frozen))
    if loss.requires_grad:
        loss.backward()
    assert [each.grad is None for each in inputs] == list(frozen)


def test_without_gradients_nothing_is_prepared():
    h, weight, bias, target = operands(7)
    with torch.no_grad():
        loss = linear_cross_entropy(h, weight, target, bias)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, of_torch(h, weight, target, bias).detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_under_autocast_the_operands_of_products_are_rounded(dtype, reduction):
    h, weight, bias, target = operands(40, torch.float32)
    inputs = h, weight, bias
    with torch.autocast("cpu", torch.bfloat16):
        ours = linear_cross_entropy(h.to(dtype), weight, target, bias, reduction=reduction)
    rounded = [each.detach().bfloat16().float().requires_grad_() for each in (h, weight)]
    exact = of_torch(*rounded, target, bias, reduction=reduction)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, exact, **(TOLERANCE[torch.float32] if KERNELS else {"rtol": 1e-2, "atol": 1e-2}))
    upstream = torch.randn(ours.shape)
    expected = torch.autograd.grad(exact, (*rounded, bias), upstream)
    for _ in range(2):
        for got, wanted in zip(torch.autograd.grad(ours, inputs, upstream, retain_graph=True), expected, strict=True):
            torch.testing.assert_close(got, wanted, rtol=2e-2, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_under_autocast_of_other_operands_torchs_operations_run(dtype):
    h, weight, bias, target = operands(40, torch.float64 if dtype == torch.bfloat16 else torch.float32)
    with torch.autocast("cpu", dtype):
        ours, theirs = linear_cross_entropy(h, weight, target, bias), of_torch(h, weight, target, bias)
    assert ours.dtype == theirs.dtype
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_second_gradients_under_autocast_are_those_of_torch():
    h, weight, bias, target = operands(9, torch.float32)

    def second(loss):
        with torch.autocast("cpu", torch.bfloat16):
            found = torch.autograd.grad(loss(h, weight, target, bias), h, create_graph=True)[0]
        return torch.autograd.grad(found.float().square().sum(), weight)[0]

    torch.testing.assert_close(second(linear_cross_entropy), second(of_torch), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_there_may_be_no_rows(reduction, way):
    way(7)
    h, weight, bias, target = operands(7)
    loss = linear_cross_entropy(h[:0], weight, target[:0], bias, reduction=reduction)
    assert loss.sum() == 0
    for each in torch.autograd.grad(loss.sum(), (weight, bias)):
        assert not each.any()


@pytest.mark.parametrize("threads", [2, 3])
def test_bits_do_not_depend_on_the_number_of_threads(threads):
    h, weight, bias, target = operands(300, torch.float32, shape=(50, 8))
    of = {}
    for count in (1, threads):
        torch.set_num_threads(count)
        loss = linear_cross_entropy(h, weight, target, bias)
        of[count] = [loss.detach(), *torch.autograd.grad(loss, (h, weight, bias))]
    torch.set_num_threads(1)
    assert all(torch.equal(*pair) for pair in zip(of[1], of[threads], strict=True))


def test_under_torch_func_torchs_operations_run():
    h, weight, bias, target = operands(7)
    per_weight = torch.func.grad(lambda W: linear_cross_entropy(h.detach(), W, target, bias.detach()))(weight.detach())
    torch.testing.assert_close(per_weight, torch.autograd.grad(of_torch(h, weight, target, bias), weight)[0])


@pytest.mark.slow
def test_under_torch_compile_torchs_operations_run():
    h, weight, bias, target = operands(7)
    compiled = torch.compile(linear_cross_entropy, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(h, weight, target, bias), of_torch(h, weight, target, bias))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"h": torch.zeros(5, 3, 4)},
            ValueError,
            r"h \[5, 3, 4\], weight \[7, 6\] and target \[5, 3\] do not fit: give h \[\*, 6\]",
        ),
        ({"target": torch.zeros(5, dtype=torch.long)}, ValueError, "do not fit"),
        ({"bias": torch.zeros(6)}, ValueError, r"bias \[6\] does not fit weight \[7, 6\]: give \[7\]"),
        ({"reduction": "average"}, ValueError, 'reduction=\'average\' is not allowed: give "mean", "sum" or "none"'),
        ({"label_smoothing": 1.5}, ValueError, "label_smoothing=1.5 is not allowed: give a number from 0 to 1"),
        ({"target": torch.full((5, 3), 7)}, IndexError, r"target 7 is no class of weight \[7, 6\]: give 0 to 6"),
        ({"target": torch.full((5, 3), -1)}, IndexError, "target -1 is no class"),
    ],
)
def test_what_is_wrong_is_said(change, error, message):
    h, weight, bias, target = operands(7)
    with pytest.raises(error, match=message):
        linear_cross_entropy(**{"h": h, "weight": weight, "target": target, "bias": bias, **change})


def test_it_is_offered():
    assert carrousel.linear_cross_entropy is linear_cross_entropy


# Prints by how many logits [N, V] the peak of a training step grows.
PROGRAM = r"""
import re, sys, torch, carrousel
from torch.nn.functional import cross_entropy, linear
N, V, H = 2800, 10_000, 64
h, W, b = (torch.randn(*size, requires_grad=True) for size in ((N, H), (V, H), (V,)))
target = torch.randint(V, (N,))
def peak():
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1])
loss = carrousel.linear_cross_entropy if sys.argv[1] == "ours" else lambda h, W, t, b: cross_entropy(linear(h, W, b), t)
loss(h[:2], W, target[:2], b).backward()
before = peak()
loss(h, W, target, b).backward()
print((peak() - before) / (4 * N * V))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say what a process took")
def test_the_logits_are_never_stored_as_a_whole():
    def logits(who):
        return float(
            subprocess.run([sys.executable, "-c", PROGRAM, who], capture_output=True, text=True, check=True).stdout
        )

    assert logits("ours") < 0.3
    assert logits("torch") > 1.5
