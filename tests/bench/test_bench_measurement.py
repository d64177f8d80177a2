"""A measurement, and tables, Markdown and JSON of many."""

from __future__ import annotations

import json

from measurements import print_table

from carrousel.bench.measurement import Measurement, round_figure, write_markdown

WHERE = ("layers", "lstm, forward", "audio", 2)
MEASUREMENTS = [
    Measurement(*WHERE, "carrousel", 20.0, "ms", target=30, bound="value at most"),
    Measurement(*WHERE, "torch.nn", 50.0, "ms", ratio=2.5, target=3),
    Measurement(*WHERE, "JAX", None, "ms", note="not measured: [bench]"),
    Measurement(
        "layers", "gru, forward", "audio", 2, "carrousel", 54_000.0, "ms", ratio=1.2, target=1.3, bound="ratio at most"
    ),
]


def test_targets():
    assert [each.is_reached for each in MEASUREMENTS] == [True, False, None, True]
    assert [each.describe_target() for each in MEASUREMENTS] == [
        "at most 30 ms, reached",
        "at least 3, MISSED",
        "not measured: [bench]",
        "at most 1.3, reached",
    ]


def test_a_table_leaves_out_what_repeats():
    text = print_table(MEASUREMENTS)
    assert text.count("lstm, forward") == 1
    assert text.count("gru, forward") == 1
    for words in ("at least 3, MISSED", "50 ms", "2.5", "not measured: [bench]", "54,000 ms"):
        assert words in text


def test_markdown_has_every_measurement():
    title, _, head, rule, *lines = write_markdown("title", MEASUREMENTS).splitlines()
    assert title == "title."
    assert lines[1] == "| lstm, forward | audio | 2 | torch.nn | 50 ms | 2.5 | at least 3, MISSED |"
    assert {line.count("|") for line in (head, rule, *lines[:4])} == {8}


def test_json_has_what_is_known():
    first, _, third, _ = (json.loads(json.dumps(each.to_json())) for each in MEASUREMENTS)
    assert first["bound"] == "value at most"
    assert "ratio" not in first
    assert third.keys() == {"benchmark", "what", "shape", "threads", "who", "unit", "note"}


def test_figures_have_three_digits():
    assert [round_figure(figure) for figure in (0.0421234, 3.074, 512.4, 54_321)] == ["0.0421", "3.07", "512", "54,321"]
