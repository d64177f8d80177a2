"""Autograd that does not say no: every layer under double backward, torch.func, dual numbers and checkpoints.

Gradients are held against finite differences (gradcheck) or against plain backward passes, one after another.
"""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from autograd_layers import B, I, T, every_layer, inputs, loss_of, make, parameters_of, slopes
from sequences import assert_same_bits
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import functional_call, grad, hessian, jacrev, jvp, stack_module_state, vmap
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint
from twins import assert_equal_to_1e10, scalar_of

# ---- backward passes ------------------------------------------------------------------------------------------------


@every_layer
def test_in_eval_mode(kind):
    """torch's layers on a GPU refuse it."""
    layer, x = make(kind, num_layers=2, dropout=0.5).eval(), inputs()
    expected = slopes(layer, x)
    layer.dropout = 0.0
    assert_same_bits(expected, slopes(layer.train(), x))
    assert gradcheck(lambda x: tuple(tree_leaves(layer.eval()(x))), x.requires_grad_())


@every_layer
def test_second_derivatives(kind):
    layer = make(kind, bidirectional=True)
    parameters = parameters_of(layer)
    arguments = [inputs(2, 1, I), *parameters.values()]

    def outputs(x, *weights):
        return tuple(tree_leaves(functional_call(layer, dict(zip(parameters, weights, strict=True)), (x,))))

    assert gradgradcheck(outputs, [argument.requires_grad_() for argument in arguments], fast_mode=True)


@every_layer
def test_many_gradients_at_once(kind):
    """is_grads_batched, as torch.autograd.functional's vectorize=True asks: the backward pass under vmap."""
    layer, x = make(kind), inputs().requires_grad_()
    y, _ = layer(x)
    dys = torch.randn(4, *y.shape, dtype=y.dtype)
    (got,) = torch.autograd.grad(y, x, dys, is_grads_batched=True, retain_graph=True)
    for slope, dy in zip(got, dys, strict=True):
        (expected,) = torch.autograd.grad(y, x, dy, retain_graph=True)
        assert_equal_to_1e10({"dx": slope}, {"dx": expected})


@every_layer
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints(kind, reentrant):
    layer, x = make(kind, num_layers=2), inputs().requires_grad_()
    results = []

    def flat(x):  # what is inside a tuple has no gradient by the reentrant way
        return tuple(tree_leaves(layer(x)))

    for run in (flat, lambda x: checkpoint(flat, x, use_reentrant=reentrant)):
        outputs = run(x)
        scalar_of(outputs).backward()
        results.append({"y": outputs[0].detach(), "dx": x.grad} | {n: p.grad for n, p in layer.named_parameters()})
        x.grad = None
        layer.zero_grad()
    assert_same_bits(*results)


# ---- torch.func -----------------------------------------------------------------------------------------------------


@every_layer
def test_grad(kind):
    layer, x = make(kind), inputs()
    got = grad(partial(loss_of, layer), argnums=(0, 1))(parameters_of(layer), x)
    expected = slopes(layer, x)
    assert_equal_to_1e10({"x": got[1], **got[0]}, expected)


@every_layer
def test_gradients_of_every_example(kind):
    """vmap over the rows of the batch: the gradients of the parameters for each."""
    layer, x = make(kind), inputs()
    got = vmap(grad(partial(loss_of, layer)), in_dims=(None, 1))(parameters_of(layer), x[:, :, None])
    for b in range(B):
        expected = slopes(layer, x[:, b : b + 1])
        del expected["x"]
        assert_equal_to_1e10({name: g[b] for name, g in got.items()}, expected)


@every_layer
def test_ensembles(kind):
    """Several networks as one, by stack_module_state."""
    layers, x = [make(kind) for _ in range(3)], inputs()
    parameters, buffers = stack_module_state(layers)
    base = copy.deepcopy(layers[0]).to("meta")

    def run(parameters, buffers, x):
        return functional_call(base, (parameters, buffers), (x,))[0]

    got = vmap(run, in_dims=(0, 0, None))(parameters, buffers, x)
    expected = torch.stack([layer(x)[0] for layer in layers])
    assert_equal_to_1e10({"y": got.detach()}, {"y": expected.detach()})
    of_stacked = torch.autograd.grad(got.sin().sum(), list(parameters.values()))
    for k, layer in enumerate(layers):
        of_one = torch.autograd.grad(layer(x)[0].sin().sum(), list(layer.parameters()))
        pairs = dict(zip(parameters, of_one, strict=True))
        assert_equal_to_1e10({n: g[k] for n, g in zip(parameters, of_stacked)}, pairs)


def along(kind):
    """A layer, an input, its direction, and the derivative of the outputs along it by two backward passes."""
    layer, x, direction = make(kind), inputs(), inputs()

    def outputs(x):
        return torch.cat([output.flatten() for output in tree_leaves(layer(x))])

    leaf = x.clone().requires_grad_()
    y = outputs(leaf)
    rows = [torch.autograd.grad(number, leaf, retain_graph=True)[0] for number in y]
    return outputs, x, direction, torch.stack([(row * direction).sum() for row in rows])


@every_layer
def test_jvp(kind):
    outputs, x, direction, expected = along(kind)
    _, got = jvp(outputs, (x,), (direction,))
    assert_equal_to_1e10({"dy": got.detach()}, {"dy": expected})


@every_layer
def test_dual_numbers(kind):
    """Forward mode outside torch.func; the tangent may be of x or of a weight."""
    outputs, x, direction, expected = along(kind)
    with forward_ad.dual_level():
        y = outputs(forward_ad.make_dual(x, direction))
        got = forward_ad.unpack_dual(y).tangent
    assert_equal_to_1e10({"dy": got.detach()}, {"dy": expected})


@every_layer
def test_forward_mode_is_the_slope(kind):
    """gradcheck of dual numbers, of the parameters too, which are leaves that want gradients."""
    layer = make(kind)
    parameters = parameters_of(layer)

    def outputs(x, *weights):
        return tuple(tree_leaves(functional_call(layer, dict(zip(parameters, weights, strict=True)), (x,))))

    arguments = [t.requires_grad_() for t in (inputs(2, 1, I), *parameters.values())]
    assert gradcheck(outputs, arguments, check_forward_ad=True, fast_mode=True)


@every_layer
def test_jacobians(kind):
    layer, x = make(kind), inputs()
    got = jacrev(lambda x: layer(x)[0].sum(-1))(x)
    leaf = x.clone().requires_grad_()
    y = layer(leaf)[0].sum(-1)
    for t in range(T):
        for b in range(B):
            (expected,) = torch.autograd.grad(y[t, b], leaf, retain_graph=True)
            assert_equal_to_1e10({"slope": got[t, b].detach()}, {"slope": expected})


@every_layer
def test_hessian(kind):
    layer, x = make(kind), inputs(2, 1, I)
    got = hessian(partial(loss_of, layer, parameters_of(layer)))(x)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss_of(layer, parameters_of(layer), leaf), leaf, create_graph=True)
    rows = [torch.autograd.grad(number, leaf, retain_graph=True)[0] for number in slope.flatten()]
    assert_equal_to_1e10({"second": got.detach()}, {"second": torch.stack(rows).reshape(got.shape)})
