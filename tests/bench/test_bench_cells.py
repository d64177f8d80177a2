"""`python -m bench cells`: every kind of layer is measured, and beside what computes the same."""

from __future__ import annotations

import json

import pytest
import torch
from measurements import TINY, bench, rows_of

from bench import __main__, cells
from carrousel import odyssey

# Those that are compiled at run time have tests of their own.
BUILT_IN = [kind for kind in cells.KINDS if kind not in odyssey.__all__]


def test_every_kind_of_layer_is_measured_beside_the_plain_lstm(tmp_path, capsys):
    file = tmp_path / "cells.json"
    options = ["--shapes", TINY, "--threads", "1", "--json", str(file)]
    printed = bench(capsys, "cells", "--kind", ",".join(BUILT_IN), *options)
    rows = json.loads(file.read_text())
    assert [row["what"] for row in rows[::2]] == BUILT_IN
    for ours, lstm in zip(rows[::2], rows[1::2], strict=True):
        assert (ours["who"], lstm["who"]) == ("carrousel", "carrousel.LSTM")
        assert ours["ratio"] == pytest.approx(ours["value"] / lstm["value"])
        assert ours["bound"] == "ratio at most"
    assert TINY in printed


def test_small_shapes_are_measured_in_torch_operations_too(capsys, monkeypatch):
    monkeypatch.setattr(cells, "SMALL", (TINY,))
    rows = rows_of(capsys, "cells", "--kind", "gru", "--shapes", f"{TINY},I2-H3-B1-T4", "--threads", "1,2")
    torch_rows = [row for row in rows if row["who"] == "torch operations"]
    assert [(row["shape"], row["threads"]) for row in torch_rows] == [(TINY, 1), (TINY, 2)]


@pytest.mark.parametrize("kind", BUILT_IN)
def test_a_kind_in_torch_operations_computes_the_same(kind):
    torch.manual_seed(0)
    ours = cells.KINDS[kind].make(3, 4).eval()  # where there are masks, they are their means
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(cells.KINDS[kind].in_torch(ours).eval()(x)[0], ours(x)[0])
    cells.KINDS[kind].in_torch(ours.train())(x)[0].sum().backward()


def test_an_unknown_kind_is_named(capsys):
    assert __main__.run(["cells", "--kind", "gru,GRU2"], __main__.app) == 2
    assert "--kind GRU2" in capsys.readouterr().err
