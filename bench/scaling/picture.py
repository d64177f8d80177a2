"""A picture of a growth: both axes logarithmic, so that every power is a straight line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.scaling.growth import EndlessGrowth, Growth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {True: ("#8a3324", "#d99b82"), False: ("0.55", "0.2")}  # ours; torch's


def draw(growth: Growth, file: Path) -> None:
    """Draw a line for each side, and a dotted one that is linear, or for threads inverse."""
    import matplotlib  # takes half a second to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    draw_sides(axes, growth)
    if isinstance(growth, EndlessGrowth):  # its figures may be 0
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(-0.1, max(2, *(1.5 * max(figures) for figures in growth.figures.values())))
    else:
        draw_guide(axes, growth)
        scale_y(axes, growth)
    axes.set_xscale("log")
    axes.set_xticks(growth.places, [f"{place:,}" for place in growth.places])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.set_xlabel(growth.axis)
    axes.set_ylabel(growth.unit)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    # the same figures give the same file
    with matplotlib.rc_context({"svg.hashsalt": "carrousel", "svg.fonttype": "path"}):
        figure.savefig(file, format="svg", metadata={"Date": None}, facecolor="white")


def draw_sides(axes: Axes, growth: Growth) -> None:
    """Ours in red, torch's in grey."""
    colours = {is_ours: iter(shades) for is_ours, shades in COLOURS.items()}
    for who, figures in growth.figures.items():
        colour = next(colours[not who.startswith("torch")])
        axes.plot(growth.places, figures, marker="o", markersize=4, color=colour, label=who)


def draw_guide(axes: Axes, growth: Growth) -> None:
    """A dotted line through our last figure."""
    slope, label = (-1, "inverse") if growth.axis == "threads" else (1, "linear")
    last = next(iter(growth.figures.values()))[-1]
    line = [last * (place / growth.places[-1]) ** slope for place in growth.places]
    axes.plot(growth.places, line, ":", color="0.7", linewidth=1, label=label)


def scale_y(axes: Axes, growth: Growth) -> None:
    """A logarithmic axis, with ticks between the powers of ten where few of these lie in it."""
    figures = [figure for side in growth.figures.values() for figure in side]
    if max(figures) <= 0:
        return
    axes.set_yscale("log")
    if max(figures) < 50 * min(figures):
        axes.set_yticks([digit * 10.0**power for power in range(-3, 7) for digit in (1, 2, 5)])
        axes.set_ylim(min(figures) / 1.5, max(figures) * 1.5)
