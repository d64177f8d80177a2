"""Outputs changed in place where a layer goes by the operators: traced, exported, compiled, subclasses, modes."""

from __future__ import annotations

import copy

import pytest
import torch
from custom_ops import needs_ops
from torch.utils._python_dispatch import TorchDispatchMode
from twins import TORCHS, assert_equal_to_1e10

import carrousel

pytestmark = needs_ops
DOUBLE = torch.float64


class Named(torch.Tensor):
    """A subclass that adds nothing."""


class Passing(TorchDispatchMode):
    """A mode that adds nothing."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


def exported(layer, x):
    return torch.export.export(layer, (x,)).module()


def exported_without_gradients(layer, x):
    with torch.no_grad():
        return exported(layer, x)


def compiled(layer, x):
    torch.compiler.reset()
    return torch.compile(layer, fullgraph=True, backend="aot_eager")


def of_subclass(layer, x):
    return lambda x: layer(x.as_subclass(Named))


def in_mode(layer, x):
    def run(x):
        with Passing():
            return layer(x)

    return run


WAYS = {
    "traced": torch.jit.trace,
    "exported": exported,
    "exported_without_gradients": exported_without_gradients,
    "compiled": compiled,
    "subclass": of_subclass,
    "mode": in_mode,
}


def doubled(y):
    return y.mul_(2)


def overwritten(y):
    """Through memory that it shares with an array: torch does not count such a change."""
    copied = y * 1
    y.detach().numpy()[:] = 0
    return copied


@pytest.mark.parametrize("change", [doubled, overwritten])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", TORCHS)
def test_gradients(kind, way, change):
    theirs = getattr(torch.nn, kind)(3, 5, dtype=DOUBLE)
    ours = getattr(carrousel, kind)(3, 5, dtype=DOUBLE)
    ours.load_state_dict(theirs.state_dict())
    x, found = torch.randn(4, 2, 3, dtype=DOUBLE), []
    program = WAYS[way](ours, x)
    named = program if isinstance(program, torch.nn.Module) else ours
    for run, parameters in ((program, dict(named.named_parameters())), (theirs, dict(theirs.named_parameters()))):
        y = change(run(x.clone())[0])
        gradients = torch.autograd.grad(y.square().sum(), list(parameters.values()))
        names = [name.removeprefix("_orig_mod.") for name in parameters]
        found.append({name: g.as_subclass(torch.Tensor) for name, g in zip(names, gradients)})
    assert_equal_to_1e10(*[dict(sorted(gradients.items())) for gradients in found])


def test_a_program_exported_without_gradients_is_copied_and_trained():
    layer = carrousel.GRU(3, 5, dtype=DOUBLE)
    program = copy.deepcopy(exported_without_gradients(layer, torch.randn(4, 2, 3, dtype=DOUBLE)))
    optimiser = torch.optim.SGD(program.parameters(), 0.1)
    x, losses = torch.randn(4, 2, 3, dtype=DOUBLE), []
    for _ in range(3):
        loss = program(x)[0].square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0]
