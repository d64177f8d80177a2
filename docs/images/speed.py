"""Draw docs/images/speed.svg from the first table of docs/fast.md: python docs/images/speed.py"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent


def read_ratios(page: Path) -> list[tuple[str, float, float]]:
    """Shape and ratio, with one thread and with two, of each row of the LSTM."""
    rows = re.findall(r"^\| lstm \| (\S+) \|.*?\*\*(.+?)\*\*.*?\*\*(.+?)\*\*", page.read_text("utf-8"), re.MULTILINE)
    return [(shape, float(one), float(two)) for shape, one, two in rows]


def draw(rows: list[tuple[str, float, float]], file: Path) -> None:
    """Two bars a shape, and a line at 1, where torch.nn is."""
    plt.rcParams.update({"svg.hashsalt": "carrousel", "font.size": 10, "svg.fonttype": "path"})
    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    for offset, colour, label, ratios in (
        (-0.2, "#8a3324", "1 thread", [row[1] for row in rows]),
        (0.2, "#d99b82", "2 threads", [row[2] for row in rows]),
    ):
        axes.bar([k + offset for k in range(len(rows))], ratios, 0.38, color=colour, label=label)
    axes.axhline(1, color="0.3", linewidth=1)
    axes.annotate(" torch.nn", (1, 1), xycoords=("axes fraction", "data"), va="center", color="0.3")
    axes.set_xticks(range(len(rows)), [row[0] for row in rows], rotation=30, ha="right")
    axes.set_ylabel("times faster")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(file, metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    draw(read_ratios(HERE.parent / "fast.md"), Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "speed.svg")
