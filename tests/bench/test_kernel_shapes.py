"""kernels/bench measures the layers that `carrousel bench layers` measures."""

import re
from pathlib import Path

from carrousel.bench.shapes import PAPERS

HEADER = Path(__file__).parents[2] / "kernels/bench/shapes.hpp"


def test_the_shapes_of_make_bench_kernels_are_those_of_bench_layers():
    listed = re.findall(
        r'\.name = "([\w-]+)", \.I = (\d+), \.H = (\d+), \.B = (\d+), \.T = (\d+)'
        r"(?:, \.layers = (\d+))?(?:, \.bidirectional = (true))?}",
        HEADER.read_text(),
    )
    got = [(name, *map(int, sizes), int(layers or 1), bool(two)) for name, *sizes, layers, two in listed]
    assert got == [(s.name, s.I, s.H, s.B, s.T, s.layers, s.bidirectional) for s in PAPERS]
