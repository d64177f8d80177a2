"""Pictures of a forecaster: forecasts against the truth with the band of the quantiles, and the error by horizon."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrousel.tasks.forecasting.evaluate import Forecast
from carrousel.tasks.forecasting.held_out import HeldOut
from carrousel.tasks.forecasting.windows import Windows
from carrousel.training.picture import to_png

PANELS = 6
LABELS = {"model": "this model", "last": "repeat the last value", "season": "repeat the last season"}
MOST_PAST = 3  # times the horizon, of the steps before the forecast
LEAST_PAST = 24
LONGEST_LINE = 200  # forecasts of one step
MOST_MARKED = 30  # steps of a line that each get a dot
RMSE = "root mean squared error (scaled)"


class Panel(NamedTuple):
    """A forecast to draw: the numbers of windows of one series, which follow each other, and that of the target."""

    windows: range
    target: int


def choose_panels(windows: Windows, targets: int) -> list[Panel]:
    """What to draw of all windows.

    Forecasts of one step make a line together, one for each of some series. Longer ones have a panel each, spread over
    all.

    Args:
        windows: at least one.
        targets: C.
    """
    if windows.horizon > 1:
        count = len(windows)
        panels = min(PANELS, count * targets)
        chosen = [panel * (count - 1) // max(1, panels - 1) for panel in range(panels)]
        return [Panel(range(window, window + 1), panel % targets) for panel, window in enumerate(chosen)]
    counts = windows.counts.cpu().numpy()
    present, ends = np.flatnonzero(counts), np.cumsum(counts)
    panels = min(PANELS, len(present) * targets)
    series = [int(present[panel // targets * len(present) // -(-panels // targets)]) for panel in range(panels)]
    return [
        Panel(range(int(ends[index] - min(counts[index], LONGEST_LINE)), int(ends[index])), panel % targets)
        for panel, index in enumerate(series)
    ]


def draw_forecasts(found: list[Forecast], panels: list[Panel], held_out: HeldOut, levels: tuple[float, ...]) -> bytes:
    """Forecasts against the truth as a PNG.

    Args:
        found: of the windows of each panel.
        panels: what `choose_panels` returned.
        held_out: where they are from.
        levels: the quantiles.
    """
    rows, columns = (len(panels) + 1) // 2, min(2, len(panels))
    figure = new_figure(5.2 * columns + 0.6, 2.6 * rows + (0.4 if rows > 1 else 1.6))
    grid: Any = figure.subplots(rows, columns, squeeze=False).flatten()
    for part, panel, axes in zip(found, panels, grid):
        draw_panel(axes, part, panel.target, held_out, levels)
        name = held_out.names[int(part.series[0])]
        target = held_out.targets[panel.target]
        axes.set_title(target if len(held_out.names) == 1 else f"{name}, {target}")
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    grid[0].legend(fontsize="small")
    is_line = found[0].mean.shape[1] == 1
    figure.supxlabel("steps, each predicted from those before it" if is_line else "steps after what was read")
    return to_png(figure)


def draw_panel(axes: Any, found: Forecast, target: int, held_out: HeldOut, levels: tuple[float, ...]) -> None:
    """One window, after the steps that were read; or many windows with a horizon of one step, as a line."""
    M, C = found.mean.shape[1:]
    restore = held_out.units.restore
    past, truth, mean = (
        restore(part)[..., target].cpu().numpy() for part in (found.inputs.past[..., :C], found.truth, found.mean)
    )
    quantiles = restore(found.quantiles.transpose(2, 3))[..., target].cpu().numpy()  # [W, M, Q]
    past = past[0, -max(LEAST_PAST, MOST_PAST * M) :]
    truth, mean, quantiles = truth.ravel(), mean.ravel(), quantiles.reshape(truth.size, -1)
    ahead = np.arange(1, len(mean) + 1)
    axes.plot(np.arange(1 - len(past), 1), past, color="gray", lw=1)
    if len(levels) > 1:
        label = f"quantiles {levels[0]:g} to {levels[-1]:g}"
        axes.fill_between(ahead, quantiles[:, 0], quantiles[:, -1], color="C0", alpha=0.25, lw=0, label=label)
    axes.plot(ahead, truth, color="black", lw=1, label="truth")
    axes.plot(ahead, mean, color="C0", lw=1.5, label="forecast")
    axes.grid(alpha=0.3)


def draw_errors(by_step: dict[str, NDArray[np.float64]]) -> bytes:
    """The error by horizon as a PNG.

    Args:
        by_step: the root mean squared error at each step [M], by the name of the method.
    """
    figure = new_figure(7, 4.5)
    axes = figure.add_subplot()
    if all(len(values) == 1 for values in by_step.values()):
        axes.barh([LABELS[name] for name in by_step], [values[0] for values in by_step.values()], height=0.5)
        axes.set(xlabel=RMSE, title="validation: error of one step")
        axes.grid(alpha=0.3, axis="x")
        return to_png(figure)
    for name, values in by_step.items():
        style: dict[str, Any] = {"lw": 2} if name == "model" else {"lw": 1, "ls": "--"}
        marker = "." if len(values) < MOST_MARKED else None
        axes.plot(np.arange(1, len(values) + 1), values, label=LABELS[name], marker=marker, **style)
    axes.set(xlabel="step of the horizon", ylabel=RMSE, title="validation: error by horizon", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    return to_png(figure)


def new_figure(width: float, height: float) -> Any:
    """A figure of this size in inches, without a window on the screen."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # its first import on a machine reports on fonts
    from matplotlib.figure import Figure  # half a second to import, and only here

    return Figure(figsize=(width, height), layout="constrained")
