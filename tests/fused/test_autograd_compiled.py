"""Layers under torch.compile(fullgraph=True), forward and backward: every kind, and every option of a call."""

from __future__ import annotations

import pytest
import torch
from autograd_layers import LAYERS, H, I, inputs, make, slopes
from custom_ops import needs_ops
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._pytree import tree_leaves
from twins import assert_equal_to_1e10, scalar_of

import carrousel

pytestmark = pytest.mark.slow

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
