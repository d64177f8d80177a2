"""`carrousel bench streaming`: all rivals return the same, and what is said of them."""

from __future__ import annotations

import pytest
import torch
from measurements import bench, printed, rows_of

from carrousel.bench import streaming


@pytest.mark.parametrize("T", [1, 5])
def test_the_rivals_of_a_stream_return_the_same(T):
    """At the first call and at the second, which goes on with the state of the first."""
    with torch.inference_mode():
        rivals = dict(streaming.calls(streaming.Size(3, 7, T, None), streaming.with_onnx()))
        assert len(rivals) >= (4 if T == 1 else 3)
        for _ in range(2):
            first, *others = [torch.as_tensor(call()).clone() for call in rivals.values()]
            assert first.shape == (T, 7)
            for other in others:
                torch.testing.assert_close(other, first)


def test_without_onnx_runtime_its_rows_say_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setattr(streaming, "with_onnx", lambda: None)
    monkeypatch.setattr(streaming, "SIZES", streaming.SIZES[:1])
    rows = rows_of(capsys, "streaming")
    whose = ["carrousel", "carrousel, out=", "torch.nn.LSTMCell", "torch.nn.LSTM", "ONNX Runtime"]
    assert [row["who"] for row in rows] == whose
    assert rows[2]["ratio"] == pytest.approx(rows[2]["us"] / rows[0]["us"])
    assert "carrousel[bench]" in rows[4]["note"]
    assert "us" not in rows[4]
    assert "carrousel[bench]" in bench(capsys, "streaming")
    assert "carrousel[bench]" in bench(capsys, "streaming", "--markdown")


ROWS = [
    streaming.Row("I1-H40-T1", "carrousel", 2.5, target=3),
    streaming.Row("I1-H40-T1", "torch.nn.LSTMCell", 12.5, ratio=5.0),
    streaming.Row("I1-H40-T512", "carrousel", 0.16, target=0.15),
]


def test_the_table_of_streams_says_what_is_missed_and_markdown_has_every_row():
    text = printed(streaming.table(ROWS))
    assert "at most 3 us, reached" in text
    assert "at most 0.15 us, MISSED" in text
    _, rule, *lines = streaming.markdown(ROWS).splitlines()
    assert lines[1] == "| I1-H40-T1 | torch.nn.LSTMCell | 12.5 | 5.0 |"
    assert {line.count("|") for line in (rule, *lines[:3])} == {5}
