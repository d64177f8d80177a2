"""torch.onnx.export, old and new: ONNX Runtime gives our numbers at other sizes, or the cell is refused by name."""

from __future__ import annotations

import io

import pytest
import torch
from composed_layers import H, I, kinds, make
from torch import nn
from torch.utils._pytree import tree_leaves

for needed in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed, reason=f"{needed} is not installed: pip install onnx onnxscript onnxruntime")
Session = pytest.importorskip("onnxruntime").InferenceSession

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
STANDARD = kinds("LSTM", "GRU", "RNN_tanh")
SIZES = [(3, 2), (5, 2), (3, 4), (6, 1)]  # T, B: as exported, more steps, more rows, both
BOTH = pytest.mark.parametrize("dynamo", [False, True], ids=["old", "dynamo"])


class Around(nn.Module):
    """A layer inside a model; hx is one argument for each state."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.before = layer, nn.Linear(I, I)

    def forward(self, x, *hx):
        y, hx = self.layer(self.before(x), *((hx if len(hx) > 1 else hx[0],) if hx else ()))
        return y.tanh(), hx


def export(module, arguments, dynamo):
    """The exported model in ONNX Runtime; T and B are free in x, and B in each state."""
    file = io.BytesIO()
    hx = arguments[1:]
    time, batch = (1, 0) if module.layer.batch_first else (0, 1)
    names = ["x", *(f"hx{k}" for k in range(len(hx)))]
    if dynamo:
        T, B = torch.export.Dim("T"), torch.export.Dim("B")
        free = [{time: T, batch: B}, *({1: B} for _ in hx)]
        shapes = (free[0], tuple(free[1:])) if hx else (free[0],)
        torch.onnx.export(module, arguments, file, dynamo=True, input_names=names, dynamic_shapes=shapes, verbose=False)
    else:
        free = [{time: "T", batch: "B"}, *({1: "B"} for _ in hx)]
        axes = dict(zip(names, free))
        torch.onnx.export(module, arguments, file, dynamo=False, input_names=names, dynamic_axes=axes)
    return Session(file.getvalue())


def data(layer, T, B, with_hx=False):
    """x, and each state that the layer starts from if wanted, in float32."""
    x = torch.randn(*((B, T) if layer.batch_first else (T, B)), I)
    states = tree_leaves(layer(x)[1]) if with_hx else []
    return x, *(torch.rand_like(state) for state in states)


def assert_right(session, module, arguments):
    feed = {place.name: t.numpy() for place, t in zip(session.get_inputs(), arguments, strict=True)}
    got = session.run(None, feed)
    for mine, expected in zip(got, tree_leaves(module(*arguments)), strict=True):
        torch.testing.assert_close(torch.from_numpy(mine), expected, rtol=0, atol=1e-6)


@torch.no_grad()
def check(layer, dynamo, with_hx=False):
    module = Around(layer.float()).eval()
    session = export(module, data(layer, *SIZES[0], with_hx), dynamo)
    for size in SIZES:
        assert_right(session, module, data(layer, *size, with_hx))


@BOTH
@STANDARD
def test_other_sizes(kind, dynamo):
    check(make(kind), dynamo)


@BOTH
@kinds("LSTM", "GRU")
def test_with_states(kind, dynamo):
    check(make(kind), dynamo, with_hx=True)


OPTIONS = [{"bidirectional": True, "num_layers": 2}, {"batch_first": True}, {"bias": False}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@STANDARD
def test_options(kind, options):
    check(make(kind, **options), dynamo=False)


def test_options_of_the_new_exporter():
    check(make("LSTM", bidirectional=True, num_layers=2, batch_first=True), dynamo=True)


@torch.no_grad()
@BOTH
@STANDARD
def test_a_bare_layer(kind, dynamo):
    """No module around it, at the size at which it is exported."""
    layer, file = make(kind).float().eval(), io.BytesIO()
    x = torch.randn(3, 2, I)
    torch.onnx.export(layer, (x,), file, dynamo=dynamo)
    assert_right(Session(file.getvalue()), layer, (x,))


def test_torchs_layer_passes():
    """What is asked of ours is possible by the old exporter; the new one holds torch's layer to one T."""
    layer = nn.LSTM(I, H)
    check(layer, dynamo=False)
    check(layer, dynamo=False, with_hx=True)


@torch.no_grad()
@BOTH
@kinds("PeepholeLSTM", "LSTM1997", "MinGRU", "SLSTM")
def test_cells_that_onnx_has_not_are_refused_by_name(kind, dynamo):
    module = Around(make(kind).float()).eval()
    with pytest.raises(Exception, match=r".") as refused:  # of the exporter's own type
        export(module, data(module.layer, 3, 2), dynamo)
    assert names(refused.value, module.layer), all_of(refused.value)
    assert "onnx" in all_of(refused.value).lower()


@torch.no_grad()
@BOTH
@kinds("MLSTM", "FGR", "own")
def test_cells_in_torch_operations_are_refused_or_right(kind, dynamo):
    """Their loop over the steps is written out, for one T: no other is then taken."""
    module = Around(make(kind).float()).eval()
    try:
        session = export(module, data(module.layer, 3, 2), dynamo)
    except Exception as refused:
        if not names(refused, module.layer):
            raise
        return
    for size in SIZES:
        try:
            assert_right(session, module, data(module.layer, *size))
        except Exception as refused:  # of a type that only ONNX Runtime has
            if "INVALID_ARGUMENT" not in str(refused):
                raise


def names(error, layer):
    """Whether an error says which layer it is about, by its class or its cell."""
    names = type(layer).__name__, f"'{layer.cell.name}'", f'"cell": "{layer.cell.name}"'  # the last of an operator
    return any(name in all_of(error) for name in names)


def all_of(error):
    """What an error and its causes say: exporters wrap what a model raises."""
    text = []
    while error is not None:
        text.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(text)
