"""A measurement, and how many of them are printed: as a table, as Markdown, as JSON. Every benchmark uses these."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from rich.markup import escape
from rich.table import Table

from carrousel.fused.kernels import instruction_set

Bound = Literal["ratio at least", "ratio at most", "value at most"]
COLUMNS = ("what", "shape", "threads", "who", "value", "GFLOP/s", "of peak", "ratio", "target")
RATES = ("GFLOP/s", "of peak")  # columns that only some benchmarks have
RIGHT = ("threads", "value", "ratio", *RATES)  # columns of figures


@dataclass(frozen=True)
class Measurement:
    """What one side did in a benchmark.

    Args:
        benchmark: its name on the command line.
        what: what was run, for example "lstm, forward+backward".
        shape: its sizes, by name.
        threads: how many.
        who: who ran it: "carrousel", "torch.nn", "torch operations", ...
        value: the figure; None: not measured, and `note` says why.
        unit: of the value, for example "ms".
        ratio: to another measurement; the benchmark's title says how.
        target: what the ratio, or the value, should reach. None: no target.
        bound: how the target is meant.
        note: anything else.
        gflops: billions of operations a second in matrix products. None: not counted.
        peak_percent: that, of what the instruction set can do at most.
    """

    benchmark: str
    what: str
    shape: str
    threads: int
    who: str
    value: float | None
    unit: str
    ratio: float | None = None
    target: float | None = None
    bound: Bound = "ratio at least"
    note: str | None = None
    gflops: float | None = None
    peak_percent: float | None = None

    @property
    def is_reached(self) -> bool | None:
        """Whether the target is reached; None: there is none, or nothing was measured."""
        figure = self.value if self.bound == "value at most" else self.ratio
        if self.target is None or figure is None:
            return None
        return figure >= self.target if self.bound == "ratio at least" else figure <= self.target

    def to_json(self) -> dict[str, Any]:
        """The fields that are known."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        return fields if self.target is not None else {k: v for k, v in fields.items() if k != "bound"}

    def describe_target(self) -> str:
        """The target and whether it is reached, or the note."""
        if self.is_reached is None or self.target is None:
            return self.note or ""
        unit = f" {self.unit}" if self.bound == "value at most" else ""
        return f"{self.bound.split(maxsplit=1)[1]} {self.target:g}{unit}, {'reached' if self.is_reached else 'MISSED'}"

    def cells(self) -> list[str]:
        """The row of a table, in the order of `COLUMNS`."""
        value = "" if self.value is None else f"{round_figure(self.value)} {self.unit}"
        ratio = "" if self.ratio is None else round_figure(self.ratio)
        rate = "" if self.gflops is None else round_figure(self.gflops)
        percent = "" if self.peak_percent is None else f"{self.peak_percent:.0f} %"
        return [self.what, self.shape, str(self.threads), self.who, value, rate, percent, ratio, self.describe_target()]


def draw_table(title: str, measurements: Sequence[Measurement]) -> Table:
    """A table for the terminal; targets that are missed are red. What repeats from row to row is left out."""
    table = Table(title=title, caption=describe_machine())
    shown = shown_columns(measurements)
    for name in shown:
        table.add_column(name, justify="right" if name in RIGHT else "left")
    before: list[str] = []
    for each in measurements:
        cells = [cell for name, cell in zip(COLUMNS, each.cells()) if name in shown]
        color = {True: "green", False: "red", None: ""}[each.is_reached]
        target = f"[{color}]{escape(cells[-1])}[/]" if color else escape(cells[-1])
        head = [] if cells[:3] != before else ["", "", ""]
        table.add_row(*map(escape, [*(head or cells[:3]), *cells[3:-1]]), target)
        before = cells[:3]
    return table


def write_markdown(title: str, measurements: Iterable[Measurement]) -> str:
    """The same table in Markdown."""
    measurements = list(measurements)
    shown = shown_columns(measurements)
    rows = ([cell for name, cell in zip(COLUMNS, each.cells()) if name in shown] for each in measurements)
    lines = [f"| {' | '.join(cells)} |" for cells in (shown, *rows)]
    lines.insert(1, "|" + "".join("--:|" if name in RIGHT else "---|" for name in shown))
    return "\n".join([f"{title}.", "", *lines, "", f"{describe_machine()}."])


def shown_columns(measurements: Sequence[Measurement]) -> list[str]:
    """The columns of a table: those of rates only if something has one."""
    has_rates = any(each.gflops is not None for each in measurements)
    return [name for name in COLUMNS if has_rates or name not in RATES]


def describe_machine() -> str:
    """The machine that was measured on, in a line."""
    return f"{processor()}, {os.cpu_count()} cores, {instruction_set()}, torch {torch.__version__}"


def processor() -> str:
    """The processor's name, if the system has it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def round_figure(figure: float) -> str:
    """Three digits: 0.0421, 3.07, 512; all digits before the point: 54,000."""
    return f"{figure:.3g}" if abs(figure) < 999.5 else f"{figure:,.0f}"
