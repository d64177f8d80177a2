"""Files to train and to test on, of data that come as one file."""

from __future__ import annotations

import gzip
from pathlib import Path

from carrousel.data.pairs import read_pairs, split_by_source

SEED = 1  # of what is drawn


def split_text(data: Path, work: Path) -> None:
    """War and Peace: the first eight tenths of its lines, one, and one."""
    lines = gzip.decompress((data / "warpeace" / "warpeace_input.txt.gz").read_bytes()).decode().splitlines(True)
    cuts = [len(lines) * tenths // 10 for tenths in (0, 8, 9, 10)]
    for name, first, end in zip(("train", "valid", "test"), cuts, cuts[1:]):
        (work / f"{name}.txt").write_text("".join(lines[first:end]), encoding="utf-8")


def split_pairs(data: Path, work: Path) -> None:
    """Tatoeba: a twentieth of the sources tests, and no source is in both files."""
    pairs = read_pairs(data / "tatoeba" / "fra-eng.txt.gz")
    parts = split_by_source(pairs.sources, [0.95, 0.05], SEED)
    for name, places in zip(("train", "test"), parts):
        rows = [f"{pairs.sources[place]}\t{pairs.targets[place]}\n" for place in places]
        (work / f"{name}.tsv").write_text("".join(rows), encoding="utf-8")
