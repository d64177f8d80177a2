"""`carrousel bench cells`: every kind of layer is measured, and beside what computes the same."""

from __future__ import annotations

import json
import re

import pytest
import torch
from measurements import TINY, bench

from bench import cells
from carrousel import odyssey
from carrousel.cli import run

# Those that are compiled at run time have tests of their own.
BUILT_IN = [kind for kind in cells.KINDS if kind not in odyssey.__all__]


def test_every_kind_of_layer_is_measured_beside_the_plain_lstm(tmp_path, capsys):
    file = tmp_path / "cells.json"
    options = ["--shapes", TINY, "--threads", "1", "--json", str(file)]
    told = bench(capsys, "cells", "--kind", ",".join(BUILT_IN), *options)
    rows = json.loads(file.read_text())
    assert [row["kind"] for row in rows] == BUILT_IN
    for row in rows:
        assert row["ratio"] == pytest.approx(row["ours_ms"] / row["lstm_ms"])
        assert "torch_ms" not in row
    assert TINY in told


def test_markdown_of_kinds_has_a_column_for_each_shape(capsys, monkeypatch):
    monkeypatch.setattr(cells, "SMALL", (TINY,))
    options = ["--kind", "gru", "--shapes", f"{TINY},I2-H3-B1-T4", "--threads", "1,2", "--markdown"]
    head, _, line, *_ = bench(capsys, "cells", *options).splitlines()
    assert head == f"| kind, 1 / 2 threads | {TINY} | I2-H3-B1-T4 |"
    assert re.fullmatch(r"\| gru \|( \d+\.\d\d / \d+\.\d\d \|){2}", line)


@pytest.mark.parametrize("kind", BUILT_IN)
def test_a_kind_in_torch_operations_computes_the_same(kind):
    torch.manual_seed(0)
    ours = cells.KINDS[kind].make(3, 4).eval()  # where there are masks, they are their means
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(cells.KINDS[kind].in_torch(ours).eval()(x)[0], ours(x)[0])
    cells.KINDS[kind].in_torch(ours.train())(x)[0].sum().backward()


def test_an_unknown_kind_is_named(capsys):
    assert run(["bench", "cells", "--kind", "gru,GRU2"]) == 2
    assert "--kind GRU2" in capsys.readouterr().err
