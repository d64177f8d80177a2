"""Spans marked by labels: IOB1, IOB2, BIOES and BILOU, and labels that break the rules, as conlleval counts them."""

from __future__ import annotations

import pytest

from carrousel.tasks.tagging.spans import Span, find_spans, is_iob, span_f1

CASES = {
    "IOB2": ("O B-PER I-PER O B-LOC", [(1, 3, "PER"), (4, 5, "LOC")]),
    "IOB2, neighbours": ("B-PER I-PER B-PER B-LOC", [(0, 2, "PER"), (2, 3, "PER"), (3, 4, "LOC")]),
    "IOB1": ("I-PER I-PER B-PER I-PER O", [(0, 2, "PER"), (2, 4, "PER")]),
    "IOB1, another type": ("I-PER I-LOC I-LOC", [(0, 1, "PER"), (1, 3, "LOC")]),
    "BIOES": ("S-PER B-LOC I-LOC E-LOC S-LOC O", [(0, 1, "PER"), (1, 4, "LOC"), (4, 5, "LOC")]),
    "BILOU": ("U-PER B-LOC L-LOC O U-LOC", [(0, 1, "PER"), (1, 3, "LOC"), (4, 5, "LOC")]),
    "I after O": ("O I-PER O", [(1, 2, "PER")]),
    "I after B of another type": ("B-PER I-LOC", [(0, 1, "PER"), (1, 2, "LOC")]),
    "I after E": ("B-PER E-PER I-PER", [(0, 2, "PER"), (2, 3, "PER")]),
    "E after E": ("B-PER E-PER E-PER", [(0, 2, "PER"), (2, 3, "PER")]),
    "E after O": ("O E-PER O", [(1, 2, "PER")]),
    "B without E": ("B-PER B-PER E-PER", [(0, 1, "PER"), (1, 3, "PER")]),
    "S inside": ("B-PER S-PER I-PER", [(0, 1, "PER"), (1, 2, "PER"), (2, 3, "PER")]),
    "one type": ("B I O I", [(0, 2, ""), (3, 4, "")]),
    "a hyphen in the type": ("B-a-b I-a-b I-a", [(0, 2, "a-b"), (2, 3, "a")]),
    "none": ("O O", []),
}


@pytest.mark.parametrize("case", CASES)
def test_spans_are_found(case):
    tags, spans = CASES[case]
    assert find_spans(tags.split(), [0, len(tags.split())]) == {Span(*span) for span in spans}


def test_a_span_ends_with_its_sentence():
    assert find_spans(["B-PER", "I-PER", "I-PER"], [0, 2, 3]) == {Span(0, 2, "PER"), Span(2, 3, "PER")}


def test_f1():
    right = find_spans(["B-PER", "I-PER", "O", "B-LOC", "O", "O"], [0, 6])
    assert span_f1(right, right) == 1.0
    found = find_spans(
        ["B-PER", "I-PER", "O", "B-PER", "O", "B-LOC"], [0, 6]
    )  # one of two spans, and two that are wrong
    assert span_f1(right, found) == pytest.approx(2 * 1 / (2 + 3))
    assert span_f1(right, set()) == span_f1(set(), set()) == 0.0


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O B-PER I-PER", True),
        ("I-PER O", True),
        ("S-X B-X I-X E-X", True),
        ("B I O", True),
        ("NOUN VERB", False),
        ("O", False),
        ("B", False),
        ("O B-PER NOUN", False),
        ("I E O U", False),
    ],
)
def test_labels_of_spans_are_recognised_by_their_prefixes(tags, expected):
    assert is_iob(tags.split()) == expected
