"""F1 over spans: what labels like B-PER and I-PER mark, counted as conlleval counts it.

IOB1 (B only between neighbours of one type), IOB2 (B at every start) and BIOES or BILOU (E or L at the end, S or U
alone) are all read by the same rules, so that predictions that break the rules of their scheme have spans too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

OUTSIDE = "O"
BEGINS, ENDS = set("BSU"), set("ESLU")  # a span begins with this label, or ends with it
TYPED = re.compile(r"[BIESLU]-.+")


class Span(NamedTuple):
    """Words from start to before end, and what they are."""

    start: int
    end: int
    type: str


def is_iob(tags: Iterable[str]) -> bool:
    """Whether tags mark spans: O, and others like B-PER or I-PER; or B and I alone, if there is one type of span."""
    others = set(tags) - {OUTSIDE}
    is_typed = bool(others) and all(TYPED.fullmatch(tag) for tag in others)
    return is_typed or ({"B", "I"} <= others <= BEGINS | ENDS | {"I"})


def find_spans(tags: Sequence[str], offsets: Sequence[int]) -> set[Span]:
    """The spans of sentences.

    A label other than O continues the span of the label before it, unless it has another type, says itself that a span
    begins, or the label before ended its span. No span goes beyond a sentence.

    Args:
        tags: of all words, end to end.
        offsets: where each sentence begins, and where the last one ends.
    """
    found: set[Span] = set()
    for first, last in pairwise(offsets):
        start, inside, is_open = first, "", False
        for place in range(first, last):
            prefix, _, type = tags[place].partition("-")
            continues = is_open and prefix != OUTSIDE and type == inside and prefix not in BEGINS
            if not continues:
                if is_open:
                    found.add(Span(start, place, inside))
                start, inside, is_open = place, type, prefix != OUTSIDE
            if is_open and prefix in ENDS:
                found.add(Span(start, place + 1, inside))
                is_open = False
        if is_open:
            found.add(Span(start, last, inside))
    return found


def span_f1(targets: set[Span], predicted: set[Span]) -> float:
    """F1 = 2 right / (targets + predicted): right is a span with the same words and the same type. 0 without spans."""
    return 2 * len(targets & predicted) / max(len(targets) + len(predicted), 1)
