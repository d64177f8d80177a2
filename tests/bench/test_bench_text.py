"""`carrousel bench text`: the models of the d2l book's setting."""

from __future__ import annotations

import json

import pytest
import torch

from carrousel.bench.text import ScratchLSTM, trainers
from carrousel.cli import run

TEXT = (
    "The Time Traveller (for so it will be convenient to speak of him) was expounding a recondite matter to us. " * 20
)


def test_three_models_of_text_are_measured(tmp_path, capsys):
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    assert run(["bench", "text", str(file), "--seconds", "0", "--epochs", "2", "--json", "-"]) == 0
    *speeds, perplexity = json.loads(capsys.readouterr().out)
    assert [row["who"] for row in speeds] == ["carrousel.LSTM", "torch.nn.LSTM", "torch operations"]
    assert all(row["value"] > 0 for row in speeds)
    assert perplexity["what"] == "perplexity after 2 epochs"
    assert 1 < perplexity["value"] < 28  # 27 symbols and a first guess that is not much worse than even


def test_ours_and_torchs_model_of_text_learn_alike():
    """From the same weights through the same losses: they differ in speed only."""
    ours, theirs, _ = trainers(TEXT).values()
    theirs.recurrent.load_state_dict(ours.recurrent.state_dict())
    theirs.readout.load_state_dict(ours.readout.state_dict())
    losses = [ours.step() for _ in range(3)]
    assert losses == pytest.approx([theirs.step() for _ in range(3)], rel=1e-4)
    assert losses[2] < losses[0]


def test_the_scratch_cell_is_an_lstm():
    scratch, lstm = ScratchLSTM(3, 4), torch.nn.LSTM(3, 4)
    with torch.no_grad():
        for k, gate in enumerate("ifgo"):
            rows = slice(4 * k, 4 * k + 4)
            scratch.W[gate].copy_(lstm.weight_ih_l0[rows].T)
            scratch.R[gate].copy_(lstm.weight_hh_l0[rows].T)
            scratch.b[gate].copy_(lstm.bias_ih_l0[rows] + lstm.bias_hh_l0[rows])
    x = torch.randn(5, 2, 3)
    y, (h, c) = scratch(x, None)
    expected, (h_expected, c_expected) = lstm(x)
    torch.testing.assert_close((y, h, c), (expected, h_expected[0], c_expected[0]))
    torch.testing.assert_close(scratch(x, (h, c))[0], lstm(x, (h_expected, c_expected))[0])
