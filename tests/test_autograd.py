"""Autograd that does not say no: every layer under double backward, torch.func, dual numbers, compile and checkpoints.

Gradients are held against finite differences (gradcheck) or against plain backward passes, one after another.
"""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from custom_ops import needs_ops
from own_cells import needs_compiler, quickly
from sequences import assert_same_bits
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import functional_call, grad, hessian, jacrev, jvp, stack_module_state, vmap
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint
from twins import assert_equal_to_1e10, scalar_of

import carrousel

T, B, I, H = 3, 2, 2, 3


@carrousel.cell(rows="nfm", from_x="fn", from_h="fm", states="h")
def MGU(rows, states):
    """A cell of one's own, in torch operations or compiled."""
    n, f, m = rows
    (h,) = states
    f = torch.sigmoid(f)
    return (h + f * (torch.tanh(n + f * m) - h),)


def compiled_mgu(*sizes, **options):
    with quickly():
        layer = MGU(*sizes, **options, compile=True)
    assert layer.compiled
    return layer


LAYERS = {
    "LSTM": carrousel.LSTM,
    "LSTM_projected": partial(carrousel.LSTM, proj_size=2),
    "LSTM_low": partial(carrousel.LSTM, memory="low"),
    "GRU": carrousel.GRU,
    "RNN": carrousel.RNN,
    "PeepholeLSTM": carrousel.PeepholeLSTM,
    "LSTM1997": carrousel.LSTM1997,
    "own": MGU,
    "own_compiled": compiled_mgu,
}
every_layer = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[needs_compiler] if kind == "own_compiled" else []) for kind in LAYERS]
)


def make(kind, **options):
    return LAYERS[kind](I, H, **options).double()


def inputs(*shape):
    return torch.randn(*(shape or (T, B, I)), dtype=torch.float64)


def parameters_of(layer):
    return {name: p.detach() for name, p in layer.named_parameters()}


def loss_of(layer, parameters, x):
    """A small loss that looks at the outputs and the final states."""
    outputs = tree_leaves(functional_call(layer, parameters, (x,)))
    return sum(output.sin().sum() for output in outputs)


def slopes(layer, x):
    """The gradients of the loss by a plain backward pass: of x, then of the parameters."""
    x = x.detach().requires_grad_()
    parameters = {name: p.requires_grad_() for name, p in parameters_of(layer).items()}
    found = torch.autograd.grad(loss_of(layer, parameters, x), [x, *parameters.values()])
    return dict(zip(["x", *parameters], found, strict=True))


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


# ---- torch.compile --------------------------------------------------------------------------------------------------

LENGTHS = [2, 6, 0, 3]
RESETS = torch.arange(24).reshape(6, 4) % 5 == 1
CALLS = {
    "plain": {},
    "lengths": {"lengths": torch.tensor(LENGTHS)},
    "offsets": {"offsets": torch.tensor([0, 2, 8, 8, 11])},
    "resets": {"resets": RESETS},
    "packed": {"packed": True},
    "packed_resets": {"packed": True, "resets": RESETS},
    "states": {"return_states": True},
    "gates": {"return_gates": True},
    "all": {"lengths": torch.tensor(LENGTHS), "resets": RESETS, "return_states": True, "return_gates": True},
}


# Every option with one layer, all of them with every layer, and the rest with --all.
COMPILED = [
    pytest.param(kind, call, marks=[] if kind == "LSTM" or call == "all" else pytest.mark.full)
    for kind in LAYERS
    for call in CALLS
    if kind != "own"
]


@needs_ops
@pytest.mark.parametrize(("kind", "call"), COMPILED)
def test_compiled_with_every_option(kind, call):
    """fullgraph=True, forward and backward. A cell that is not compiled is a loop, which no graph holds when ragged."""
    torch.compiler.reset()
    call = dict(CALLS[call])
    layer, x = make(kind, num_layers=2), inputs(*((11, I) if "offsets" in call else (6, 4, I))).requires_grad_()
    packed = call.pop("packed", False)

    def run(function):
        given = pack_padded_sequence(x, [6, 5, 5, 2]) if packed else x
        leaves = tree_leaves(tuple(function(given, **call)))
        outputs = [t for t in leaves if t is not None and t.is_floating_point()]
        gradients = torch.autograd.grad(scalar_of(outputs), [x, *layer.parameters()], allow_unused=True)
        return {str(k): t.detach() for k, t in enumerate((*outputs, *gradients)) if t is not None}

    expected = run(layer)
    assert_equal_to_1e10(run(torch.compile(layer, fullgraph=True, backend="aot_eager")), expected)


def test_an_own_cell_compiles():
    """In torch operations: a loop, unrolled."""
    torch.compiler.reset()
    layer, x = make("own"), inputs()
    expected = slopes(layer, x)
    layer.compile(fullgraph=True, backend="aot_eager")
    assert_equal_to_1e10(slopes(layer, x), expected)


@needs_ops
def test_compiled_resets_of_another_batch():
    """How many rows a packed input has is known when the graph runs."""
    torch.compiler.reset()
    layer, packed = carrousel.GRU(I, H), pack_padded_sequence(torch.randn(6, 4, I), [6, 5, 5, 2])
    with pytest.raises(RuntimeError, match="resets has 3 rows"):
        torch.compile(layer, fullgraph=True, backend="aot_eager")(packed, resets=RESETS[:, :3])
