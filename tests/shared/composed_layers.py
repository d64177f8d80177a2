"""Layers of every kind beside torch's own or the same cell in torch operations; gradients of first and second order.

Letters: T time, B batch, I input, H hidden; I and H are equal, so that outputs can be fed back as inputs.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from autograd_layers import MGU, compiled_mgu
from custom_cells import compiled, needs_compiler
from torch import Tensor
from torch.nn.functional import pad
from torch.utils._pytree import tree_leaves, tree_map
from twins import assert_equal_to_1e10

import carrousel
from carrousel import odyssey

T, B, I, H = 4, 2, 4, 4
DOUBLE = torch.float64

LAYERS = {
    "LSTM": carrousel.LSTM,
    "LSTM_projected": partial(carrousel.LSTM, proj_size=2),
    "LSTM_low": partial(carrousel.LSTM, memory="low"),
    "GRU": carrousel.GRU,
    "RNN_tanh": carrousel.RNN,
    "RNN_relu": partial(carrousel.RNN, nonlinearity="relu"),
    "PeepholeLSTM": carrousel.PeepholeLSTM,
    "CoupledLSTM": carrousel.CoupledLSTM,
    "LayerNormLSTM": carrousel.LayerNormLSTM,
    "LSTM1997": carrousel.LSTM1997,
    "MinGRU": carrousel.MinGRU,
    "MinLSTM": carrousel.MinLSTM,
    "SLSTM": partial(carrousel.SLSTM, initialise="torch"),  # its own initialisation has no feedback
    "SLSTM_heads": partial(carrousel.SLSTM, initialise="torch", num_heads=2),
    "MLSTM": partial(carrousel.MLSTM, num_heads=2, chunk_size=2),
    "FGR": odyssey.FGR,
    "FGR_compiled": lambda *sizes, **options: carrousel.Recurrent(compiled(odyssey.FGR.CELL)["FGR"], *sizes, **options),
    "own": MGU,
    "own_compiled": compiled_mgu,
}
# torch.nn's name for a kind, and the options that make it so.
TORCHS = {
    "LSTM": partial(torch.nn.LSTM),
    "LSTM_projected": partial(torch.nn.LSTM, proj_size=2),
    "LSTM_low": partial(torch.nn.LSTM),
    "GRU": partial(torch.nn.GRU),
    "RNN_tanh": partial(torch.nn.RNN),
    "RNN_relu": partial(torch.nn.RNN, nonlinearity="relu"),
}

OPTIONS = ("num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size")


def kinds(*names: str):
    """A test's argument `kind`: those named, or all."""
    marks = {"FGR_compiled": [needs_compiler], "own_compiled": [needs_compiler]}
    return pytest.mark.parametrize("kind", [pytest.param(n, marks=marks.get(n, [])) for n in names or LAYERS])


# Where torch.nn is, a cell with weights of its own, one with many states, a product of heads, and a compiled one.
few_kinds = kinds("LSTM", "GRU", "RNN_tanh", "PeepholeLSTM", "SLSTM_heads", "own_compiled")


def make(kind: str, **options) -> torch.nn.Module:
    return LAYERS[kind](I, H, **options).double()


def plain_of(layer: torch.nn.Module) -> torch.nn.Module:
    """The same layer, same parameters, in torch operations: its cell is not one that a kernel was made for."""
    step = layer.cell.step
    cell = replace(layer.cell, name="plain", step=lambda *arguments: step(*arguments))
    if isinstance(layer, carrousel.LSTM | carrousel.GRU | carrousel.RNN):  # else torch's own functions compute it
        options = {name: getattr(layer, name) for name in OPTIONS}
        learns = any("initial" in name for name in layer.state_dict())
        twin = carrousel.Recurrent(cell, I, H, learn_initial=learns, **options).double()
        twin.load_state_dict(layer.state_dict())
        return twin
    twin = copy.deepcopy(layer)
    if isinstance(layer, carrousel.MLSTM):
        twin.chunk_size = 1  # step after step
    else:
        twin.cell = cell
    return twin


def torchs_of(kind: str, layer: torch.nn.Module, **options) -> torch.nn.Module:
    """torch.nn's layer with the same parameters."""
    twin = TORCHS[kind](I, H, **options).double()
    twin.load_state_dict(layer.state_dict())
    return twin


def twin_of(kind: str, layer: torch.nn.Module, **options) -> torch.nn.Module:
    """What the layer is held against: torch.nn's where it has such a layer."""
    return torchs_of(kind, layer, **options) if kind in TORCHS else plain_of(layer)


@dataclass
class Inputs:
    """What goes into a composition of two layers, with gradients.

    x [T, B, I]; hx as the layers take it, of positive numbers, as a normaliser is.
    """

    x: Tensor
    hx: object

    def leaves(self, *layers: torch.nn.Module) -> dict[str, Tensor]:
        """x, each state, and the parameters that require gradients, by name; a shared one once."""
        states = {f"state {k}": state for k, state in enumerate(tree_leaves(self.hx))}
        named = torch.nn.ModuleList(layers).named_parameters()
        found = {"x": self.x, **states} | dict(named)
        return {name: leaf for name, leaf in found.items() if leaf.requires_grad}


def inputs_of(layer: torch.nn.Module, T: int = T) -> Inputs:
    x = torch.randn(*((B, T) if layer.batch_first else (T, B)), I, dtype=DOUBLE, requires_grad=True)
    with torch.no_grad():
        states = layer(x)[1]
    return Inputs(x, tree_map(lambda s: (torch.rand_like(s) + 0.1).requires_grad_(), states))


def loss_of(outputs) -> Tensor:
    """A scalar whose gradient depends on the outputs; each number with its own weight."""
    return sum((output.sin() * weights_like(output)).sum() for output in tree_leaves(outputs))


def weights_like(output: Tensor) -> Tensor:
    """Fixed numbers, by no random generator: vmap refuses one."""
    return torch.arange(output.numel(), dtype=output.dtype).cos().view(output.shape)


def first_order(outputs, leaves: dict[str, Tensor], **options) -> dict[str, Tensor]:
    found = torch.autograd.grad(loss_of(outputs), list(leaves.values()), materialize_grads=True, **options)
    return dict(zip(leaves, found, strict=True))


def both_orders(run, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients of what `run()` returns: as in training, with create_graph, and of those gradients."""
    trained = first_order(run(), leaves)
    slopes = first_order(run(), leaves, create_graph=True)
    second = first_order(list(slopes.values()), leaves)
    orders = {"first": trained, "with graph": slopes, "second": second}
    return {f"{order}, {name}": g.detach() for order, found in orders.items() for name, g in found.items()}


def assert_same_gradients(scenario, ours, theirs, inputs: Inputs) -> None:
    """`scenario(*layers, x, hx)` of layers of ours and of the others has the same gradients of both orders."""
    found = []
    for layers in (ours, theirs):
        torch.manual_seed(3)  # dropout
        run = partial(seeded, scenario, *layers, inputs.x, inputs.hx)
        found.append(both_orders(run, inputs.leaves(*layers)))
    assert_equal_to_1e10(*found)


def seeded(run, *arguments):
    """A run with the same dropout each time."""
    torch.manual_seed(3)
    return run(*arguments)


def row_of(states) -> Tensor:
    """Numbers of the first state as an input of one step [1, B, I]."""
    first = tree_leaves(states)[0]
    return as_input(first[:1].flatten(2))


def as_input(y: Tensor) -> Tensor:
    """An output as an input: of width I."""
    return pad(y, (0, I - y.shape[-1])) if y.shape[-1] < I else y[..., :I]


def two_calls(layer, x, hx, **call):
    """A layer on the first steps, then on the others and on what came of the first; states are carried."""
    time = 1 if layer.batch_first else 0
    first, rest = x.split(2, time)
    y, hx, *inside = layer(first, hx, **call)
    return y, inside, layer(rest + as_input(y), hx, **call)


class Twice(torch.nn.Module):
    """`two_calls` as a module, whose weights can be exchanged."""

    def __init__(self, layer, **call):
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x, hx):
        return two_calls(self.layer, x, hx, **self.call)
