"""`carrousel bench streaming`, and with ONNX Runtime `python -m bench streaming`: all rivals return the same."""

from __future__ import annotations

import pytest
import torch
from measurements import bench, rows_of

from bench import streaming as with_onnx
from carrousel.bench import streaming


@pytest.mark.parametrize("T", [1, 5])
def test_the_rivals_of_a_stream_return_the_same(T):
    """At the first call and at the second, which continues with the state of the first."""
    with torch.inference_mode():
        rivals = streaming.new_rivals(streaming.Size(3, 7, T, None), with_onnx.import_onnx())
        assert len(rivals) >= (4 if T == 1 else 3)
        for _ in range(2):
            found = {who: torch.as_tensor(call()).clone() for who, call in rivals.items()}
            first = found["carrousel"]
            assert first.shape == (T, 7)
            for who, other in found.items():
                bound = 0.02 if "int8" in who or "bfloat16" in who else 1e-5
                torch.testing.assert_close(other, first, atol=bound, rtol=bound)


def test_a_step_is_measured_beside_torch(capsys, monkeypatch):
    monkeypatch.setattr(streaming, "SIZES", streaming.SIZES[:1])
    rows = rows_of(capsys, "streaming")
    rounded = ["carrousel, bfloat16", "carrousel, int8"]
    assert [row["who"] for row in rows] == [
        "carrousel",
        "carrousel, out=",
        *rounded,
        "torch.nn.LSTMCell",
        "torch.nn.LSTM",
    ]
    assert rows[2]["ratio"] == pytest.approx(rows[1]["value"] / rows[2]["value"])
    assert rows[4]["ratio"] == pytest.approx(rows[4]["value"] / rows[0]["value"])
    assert rows[0].get("target") in (3.0, None)


def test_without_onnx_runtime_a_line_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setattr(with_onnx, "import_onnx", lambda: None)
    monkeypatch.setattr(streaming, "SIZES", streaming.SIZES[:1])
    assert "torch.nn.LSTMCell" in bench(capsys, "streaming", program="all")
    monkeypatch.setattr(with_onnx, "import_onnx", lambda: lambda layer, x: {"ONNX Runtime": lambda: None})
    assert rows_of(capsys, "streaming", program="all")[-1]["who"] == "ONNX Runtime"
