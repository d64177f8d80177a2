"""What PyTorch's own tests of torch.nn.LSTM, GRU and RNN give to them: arguments of constructors and calls, and errors.

They are made in a process of their own: the module that makes them changes torch's settings for a whole process.
"""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from twins import scalar_of

import carrousel

WRITE = """
import sys, types, unittest
sys.modules.setdefault("expecttest", types.SimpleNamespace(TestCase=unittest.TestCase))  # which their tests need
import torch
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

def plain(given):
    return None if given is None else (given.args, given.kwargs)

inputs, errors = [], []
for module in [m for m in module_db if m.module_cls in (torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN)]:
    name = module.module_cls.__name__
    for dtype in (torch.float32, torch.float64):
        for training in (True, False):
            torch.manual_seed(0)
            of = {"device": "cpu", "dtype": dtype, "requires_grad": True, "training": training}
            for one in module.module_inputs_func(module, **of):
                inputs.append((name, dtype, training, plain(one.constructor_input), plain(one.forward_input)))
    for one in module.module_error_inputs_func(module, device="cpu", dtype=dtype, requires_grad=False, training=False):
        given, made = one.module_error_input, one.error_on == ModuleErrorEnum.FORWARD_ERROR
        forward = plain(given.forward_input) if made else None
        errors.append((name, plain(given.constructor_input), forward, one.error_type.__name__, one.error_regex))
torch.save((inputs, errors), sys.argv[1])
"""


class Input(NamedTuple):
    """One input; both pairs are arguments by position and by name."""

    name: str
    dtype: torch.dtype
    training: bool
    constructor: tuple[tuple, dict]
    forward: tuple[tuple, dict]

    def __str__(self) -> str:
        mode = "training" if self.training else "evaluation"
        hx = "with" if len(self.forward[0]) > 1 else "without"
        return f"{self.name}{self.constructor} {mode} {self.dtype} {hx} hx"

    def make(self, library, **options) -> nn.Module:
        """A layer of torch.nn or carrousel, with the same weights for the same input."""
        args, named = self.constructor
        torch.manual_seed(1)
        return getattr(library, self.name)(*args, **named, **{"dtype": self.dtype} | options).train(self.training)

    def leaves(self) -> tuple:
        """Fresh arguments of the call, which collect gradients: x, or x and hx."""
        return fresh(self.forward[0])


class Error(NamedTuple):
    """What is to raise; `forward` is None where the constructor does."""

    name: str
    constructor: tuple[tuple, dict]
    forward: tuple[tuple, dict] | None
    type: str
    says: str


def fresh(given):
    """Copies of tensors, in tuples too, that collect gradients."""
    if isinstance(given, torch.Tensor):
        return given.detach().clone().requires_grad_()
    return tuple(map(fresh, given))


@functools.cache
def load() -> tuple[list[Input], list[Error]]:
    """All of them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "inputs"
        subprocess.run([sys.executable, "-W", "ignore", "-c", WRITE, str(file)], check=True)
        inputs, errors = torch.load(file, weights_only=False)
    return [Input(*one) for one in inputs], [Error(*one) for one in errors]


def failures(check, *names: str, **only) -> list[str]:
    """What `check` says of the inputs of these layers that it fails for; `only`: those with these fields."""
    found = []
    inputs = [one for one in load()[0] if one.name in names and all(getattr(one, k) == v for k, v in only.items())]
    assert inputs
    for one in inputs:
        try:
            check(one)
        except (AssertionError, RuntimeError) as error:
            found.append(f"{one}: {first_line(error)}")
    return found


def first_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error))[:200]


def outputs_and_gradients(layer: nn.Module, arguments: tuple) -> list[torch.Tensor]:
    """All that a call returns, and the gradients of a sum of it for its arguments and the parameters."""
    y, states = layer(*arguments)
    outputs = [y, *(states if isinstance(states, tuple) else (states,))]
    leaves = [*tensors_of(arguments), *layer.parameters()]
    return [*outputs, *torch.autograd.grad(scalar_of(outputs), leaves)]


def tensors_of(given) -> list[torch.Tensor]:
    """The tensors of nested tuples."""
    return [given] if isinstance(given, torch.Tensor) else [t for part in given for t in tensors_of(part)]


OURS, THEIRS = carrousel, nn
