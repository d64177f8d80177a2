"""States and gates of every step under torch.compile(fullgraph=True): as without it, with their gradients.

By kernel and by `scan`: a person's cell that was not compiled, other number types, masks.
"""

from __future__ import annotations

import pytest
import torch
from custom_cells import MINIMAL
from twins import assert_equal_to_1e10

import carrousel
from carrousel import odyssey
from carrousel.cells import Cell, sigmoid, tanh

pytestmark = pytest.mark.slow


def state_with_a_function(rows, states):
    """A row inside a state, whose function is no gate; a row that goes into two functions; and one into none."""
    s, a, b = rows
    h, s_old = states
    s_new = s_old + s
    gate = sigmoid(2 * a - 1) * torch.tanh(b) + sigmoid(b)
    return gate * tanh(s_new) + 0 * h, s_new


SCANNED = Cell("scanned", rows="sab", from_x="abs", from_h="ab", states="hs", step=state_with_a_function)
I, H = 3, 4
BY_SCAN = {
    "own": lambda: carrousel.Recurrent(SCANNED, I, H, num_layers=2),
    "own_both_ways": lambda: carrousel.Recurrent(MINIMAL, I, H, bidirectional=True, batch_first=True),
    "LayerNormLSTM_bfloat16": lambda: carrousel.LayerNormLSTM(I, H).bfloat16(),
    "LSTM_bfloat16": lambda: carrousel.LSTM(I, H, proj_size=2).bfloat16(),
} | {name: (lambda name=name: getattr(odyssey, name)(I, H)) for name in odyssey.__all__}
BY_KERNEL = {
    "LSTM": lambda: carrousel.LSTM(I, H, num_layers=2, bidirectional=True, learn_initial=True),
    "LSTM_projected": lambda: carrousel.LSTM(I, H, proj_size=2),
    "LSTM_zoneout": lambda: carrousel.LSTM(I, H, zoneout=0.2).eval(),
    "GRU": lambda: carrousel.GRU(I, H, batch_first=True, memory="low"),
    "GRU_zoneout": lambda: carrousel.GRU(I, H, zoneout=0.2).eval(),
    "RNN": lambda: carrousel.RNN(I, H),
    "PeepholeLSTM": lambda: carrousel.PeepholeLSTM(I, H),
    "CoupledLSTM": lambda: carrousel.CoupledLSTM(I, H),
    "LayerNormLSTM": lambda: carrousel.LayerNormLSTM(I, H),
    "LSTM1997": lambda: carrousel.LSTM1997(I, H),
    "MinGRU": lambda: carrousel.MinGRU(I, H),
    "MinLSTM": lambda: carrousel.MinLSTM(I, H),
    "SLSTM": lambda: carrousel.SLSTM(I, H),
    "SLSTM_heads": lambda: carrousel.SLSTM(I, H, num_heads=2),
}
LAYERS = BY_SCAN | BY_KERNEL
STATES, GATES = {"return_states": True}, {"return_gates": True}


def run(layer, call, **options):
    """Everything that comes out of a call of the layer, and every gradient, by name."""
    torch.manual_seed(1)
    W = next(layer.parameters())
    x = torch.randn(3, 3, I).to(W.dtype).requires_grad_()
    layer.zero_grad()
    y, hx, inside = call(x, **options)
    shown = {f"{name}[{k}]": t for name, of_places in inside._asdict().items() for k, t in enumerate(of_places)}
    states = hx if isinstance(hx, tuple) else (hx,)
    outputs = {"y": y} | {f"hx[{k}]": t for k, t in enumerate(states)} | shown
    torch.stack([(k * output.sin()).sum() for k, output in enumerate(outputs.values(), 1)]).sum().backward()
    gradients = {name: t.grad for name, t in [("x", x), *layer.named_parameters()]}
    return {name: t.detach() for name, t in outputs.items()} | {f"grad of {name}": t for name, t in gradients.items()}


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    """Each test compiles for itself: recompilations are counted, and limited, per function."""
    torch.compiler.reset()


QUICK = (
    "own",
    "own_both_ways",
    "LayerNormLSTM_bfloat16",
    "LSTM_bfloat16",
    "FGR",
    "LSTM",
    "GRU",
    "LSTM_zoneout",
    "SLSTM_heads",
)


@pytest.mark.parametrize("layer", [n if n in QUICK else pytest.param(n, marks=pytest.mark.full) for n in LAYERS])
@pytest.mark.parametrize("asked", ["both", *[pytest.param(n, marks=pytest.mark.full) for n in ("states", "gates")]])
def test_as_without_the_compiler(layer, asked):
    options = {"both": STATES | GATES, "states": STATES, "gates": GATES}[asked]
    made = LAYERS[layer]()
    made = made if made.weight_ih_l0.dtype == torch.bfloat16 else made.double()
    expected = run(made, made, **options)
    got = run(made, torch.compile(made, fullgraph=True, backend="aot_eager"), **options)
    assert_equal_to_1e10(got, expected)


@pytest.mark.parametrize("layer", ["own", "NIG", pytest.param("LSTM", marks=pytest.mark.full)])
def test_with_resets(layer):
    made = LAYERS[layer]().double()
    options = STATES | GATES | {"resets": torch.tensor([[0, 0, 1], [0, 1, 1], [1, 0, 0]]).bool()}
    expected = run(made, made, **options)
    assert_equal_to_1e10(run(made, torch.compile(made, fullgraph=True, backend="aot_eager"), **options), expected)


@pytest.mark.parametrize("layer", ["own", "LSTM"])
def test_a_cell_on_another_device(layer):
    """By `scan`, without numbers: the shapes."""
    made = LAYERS[layer]().to("meta")
    compiled = torch.compile(made, fullgraph=True, backend="eager")
    x = torch.empty(3, 2, I, device="meta")
    expected, got = (call(x, **STATES, **GATES)[2] for call in (made, compiled))
    assert got._fields == expected._fields
    assert [[t.shape for t in field] for field in got] == [[t.shape for t in field] for field in expected]
