"""Tensors of other classes as the input, as one state or as one weight: torch's numbers, or an error; never a crash.

Where torch's operations work on such a tensor, so do our layers, with gradients of both orders.
"""

from __future__ import annotations

import pytest
import torch
from composed_layers import I, kinds, make, plain_of
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.testing._internal.two_tensor import TwoTensor
from torch.utils._pytree import tree_leaves, tree_map_only, tree_structure, tree_unflatten
from twins import assert_equal_to_1e10

pytestmark = pytest.mark.slow

T, B = 3, 2


class Named(Tensor):
    """A subclass that adds nothing."""


class Watched(Tensor):
    """One with a __torch_function__ of its own."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return super().__torch_function__(function, types, args, kwargs or {})


class Holder(Tensor):
    """One that has no memory: it holds another, on which each operation is run."""

    @staticmethod
    def __new__(cls, held):
        facts = {"strides": held.stride(), "dtype": held.dtype, "requires_grad": held.requires_grad}
        made = Tensor._make_wrapper_subclass(cls, held.shape, **facts)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        args, kwargs = tree_map_only(Holder, lambda t: t.held, (args, kwargs or {}))
        return tree_map_only(Tensor, Holder, function(*args, **kwargs))


def distributed(t):
    """A DTensor over a group of one process."""
    from torch.distributed.tensor import Replicate, distribute_tensor, init_device_mesh

    if not torch.distributed.is_initialized():
        store = torch.distributed.HashStore()
        torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=store)
    return distribute_tensor(t.detach(), init_device_mesh("cpu", (1,)), [Replicate()]).requires_grad_(t.requires_grad)


CLASSES = {
    "Named": lambda t: t.detach().as_subclass(Named).requires_grad_(t.requires_grad),
    "Watched": lambda t: t.detach().as_subclass(Watched).requires_grad_(t.requires_grad),
    "Buffer": lambda t: torch.nn.Buffer(t.detach().clone()).requires_grad_(t.requires_grad),
    "Parameter": lambda t: torch.nn.Parameter(t.detach().clone()),
    "TwoTensor": lambda t: TwoTensor(t.detach(), t.detach().clone()).requires_grad_(t.requires_grad),
    "Holder": lambda t: Holder(t.detach()).requires_grad_(t.requires_grad),
    "DTensor": distributed,
    "FakeTensor": lambda t: FakeTensorMode().from_tensor(t),
    "functional": lambda t: torch._to_functional_tensor(t.detach()).requires_grad_(t.requires_grad),
}


def plain(t: Tensor) -> Tensor:
    """The numbers of a tensor of any class."""
    t = t.detach()
    if torch._is_functional_tensor(t):
        torch._sync(t)
        return torch._from_functional_tensor(t)
    t = t.full_tensor() if hasattr(t, "full_tensor") else t
    t = t.a if isinstance(t, TwoTensor) else t.held if isinstance(t, Holder) else t
    return t.as_subclass(Tensor)


def tensors_of(layer):
    """x, the states and the weights, by name; and how the states stand together."""
    x = torch.randn(T, B, I, dtype=torch.float64)
    with torch.no_grad():
        hx = layer(x)[1]
    states = {f"state {k}": torch.rand_like(state) + 0.1 for k, state in enumerate(tree_leaves(hx))}
    return {"x": x, **states} | dict(layer.named_parameters()), tree_structure(hx)


def outcome(layer, tensors, structure):
    """Outputs, gradients, and gradients of gradients."""
    leaves = {name: t if t.requires_grad else t.detach().requires_grad_() for name, t in tensors.items()}
    hx = tree_unflatten([t for name, t in leaves.items() if name.startswith("state ")], structure)
    weights = {name: t for name, t in leaves.items() if name in dict(layer.named_parameters())}
    outputs = tree_leaves(functional_call(layer, weights, (leaves["x"], hx)))
    first = torch.autograd.grad(
        sum(output.sin().sum() for output in outputs), list(leaves.values()), create_graph=True, materialize_grads=True
    )
    second = torch.autograd.grad(
        sum(slope.sin().sum() for slope in first), list(leaves.values()), materialize_grads=True
    )
    found = {f"output {k}": output for k, output in enumerate(outputs)}
    found |= {f"first, {name}": slope for name, slope in zip(leaves, first)}
    found |= {f"second, {name}": slope for name, slope in zip(leaves, second)}
    return {name: plain(t) for name, t in found.items()}


OURS = (RuntimeError, TypeError, ValueError, NotImplementedError, AssertionError)
NOT_CLEAR = ("incompatible function arguments", "data pointer", "overlap in memory")


def attempt(layer, tensors, structure):
    """The numbers, or the error."""
    try:
        return outcome(layer, tensors, structure)
    except OURS as error:
        return error


def check(kind, name):
    """One place after the other, and all at once."""
    layer = make(kind)
    tensors, structure = tensors_of(layer)
    expected = outcome(layer, tensors, structure)
    for places in (*([place] for place in tensors), list(tensors)):
        given = tensors | {place: CLASSES[name](tensors[place].detach().requires_grad_()) for place in places}
        got, torchs = attempt(layer, given, structure), attempt(plain_of(layer), given, structure)
        where = f"{name} as {places if len(places) == 1 else 'all'}"
        if isinstance(got, Exception):
            assert not any(words in str(got) for words in NOT_CLEAR), f"{where}: {got}"
            assert isinstance(torchs, Exception) or name in MAY_BE_REFUSED, f"{where}: {type(got).__name__}: {got}"
        elif name != "FakeTensor":
            assert_equal(got, expected, where)


# DTensor wants a rule for each operator, and functional tensors and fake ones belong to tracing.
MAY_BE_REFUSED = ("DTensor", "FakeTensor", "functional")


def assert_equal(got, expected, where):
    try:
        assert_equal_to_1e10(got, expected)
    except AssertionError as error:
        raise AssertionError(f"{where}: {error}") from None


@pytest.mark.parametrize("name", CLASSES)
@kinds("LSTM", "GRU", "RNN_tanh", "PeepholeLSTM", "SLSTM_heads", "LayerNormLSTM", "MLSTM", "own_compiled")
def test_classes(kind, name, separately):
    separately(check, kind, name)
