"""The shapes that are measured: those of papers and programs, by name, a grid, and the ratio that each should reach.

Letters: T time, B batch, I input, H hidden units, L layers, D directions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from carrousel.errors import UserError


@dataclass(frozen=True)
class Shape:
    """A layer and its input [T, B, I].

    Args:
        name: in tables and for --shapes.
        I, H, B, T: sizes.
        layers: L.
        bidirectional: two directions.
        target: how many times faster than torch.nn, forward+backward on all threads.
        scan_target: for cells that are not in torch.nn: how many times faster than the same cell in torch operations,
            forward+backward on all threads. By default these cells are measured only at shapes that have one.
    """

    name: str
    I: int
    H: int
    B: int
    T: int
    layers: int = 1
    bidirectional: bool = False
    target: float = 1.0
    scan_target: float | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of a layer besides I and H."""
        return {"num_layers": self.layers, "bidirectional": self.bidirectional}


PAPERS = (
    Shape("paper-T100", I=4, H=8, B=1, T=100, target=4, scan_target=20),
    Shape("paper-T1000", I=4, H=8, B=1, T=1000, target=10),
    Shape("audio", I=1, H=40, B=40, T=2048, target=3),
    Shape("forecast", I=7, H=32, B=32, T=96, target=2.5),
    Shape("digits", I=28, H=128, B=128, T=28, bidirectional=True, target=1.6),
    Shape("d2l", I=28, H=256, B=32, T=35, target=1.1),
    Shape("hydrology", I=32, H=256, B=256, T=365, target=1.6, scan_target=2),
    Shape("char-rnn", I=64, H=512, B=50, T=50, layers=2, target=1.15),
    Shape("PTB-medium", I=650, H=650, B=20, T=35, layers=2, target=1.2),
    Shape("PTB-large", I=1500, H=1500, B=20, T=35, layers=2, target=1.15),
)
GRID = tuple(
    Shape(f"I32-H{H}-B{B}-T{T}", I=32, H=H, B=B, T=T)
    for H in (1, 8, 40, 128, 512)
    for B in (1, 8, 64, 256)
    for T in (1, 35, 365)
)
BY_NAME = {shape.name: shape for shape in PAPERS + GRID}

SPELLED = re.compile(r"I(\d+)-H(\d+)-B(\d+)-T(\d+)(?:-L(\d+))?(-bidirectional)?")


def find_shape(name: str) -> Shape:
    """A shape by its name, or by its sizes: I4-H8-B1-T100, I64-H512-B50-T50-L2, I28-H128-B128-T28-bidirectional.

    Raises:
        UserError: it is neither, or a size is 0.
    """
    if name in BY_NAME:
        return BY_NAME[name]
    match = SPELLED.fullmatch(name)
    sizes = [int(size or 1) for size in match.groups()[:5]] if match else [0]
    if match is None or 0 in sizes:
        names = ", ".join(shape.name for shape in PAPERS)
        raise UserError(f"--shapes {name} is not a shape: give one of {names}, or sizes like I4-H8-B1-T100-L2")
    I, H, B, T, L = sizes
    return Shape(name, I, H, B, T, layers=L, bidirectional=match[6] is not None)
