"""How long it takes until something happens: help, `import carrousel`, and the beginning of a command's work.

Each is a process of its own, beside one that only imports torch; medians of alternating turns.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from carrousel.bench.measurement import Measurement

TITLE = "start-up: ratio = our time / that of `import torch`, lower is better"
TARGET_OF_HELP = 300.0  # ms
TORCH = "import torch"
TURNS = 7
COMMANDS = ("--help", "--version", "sample --help", "reproduce --help", "bench layers --help")
TARGETS = {"import carrousel": 1.2}
WORK = {"sample": 1.4, "reproduce temporal-order --row 6a": 1.4}


def measure(turns: int = TURNS) -> list[Measurement]:
    """All figures, in ms: medians of so many turns."""
    with tempfile.TemporaryDirectory() as folder:
        model = train_a_model(Path(folder))
        programs = {
            TORCH: [sys.executable, "-c", TORCH],
            **{program: [sys.executable, "-c", program] for program in TARGETS},
            **{f"carrousel {command}": command_line(*command.split()) for command in COMMANDS},
            "sample": command_line("sample", model, "--length", "100000"),
            "reproduce temporal-order --row 6a": command_line(
                "reproduce", "temporal-order", "--row", "6a", "--out", folder
            ),
        }
        found: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(turns):
            for name, command in programs.items():
                found[name].append(start_of_work(command) if name in WORK else to_the_end(command))
    medians = {name: 1e3 * sorted(times)[turns // 2] for name, times in found.items()}
    return [compare(name, value, medians[TORCH]) for name, value in medians.items()]


def command_line(*arguments: object) -> list[str]:
    """A command of ours."""
    return [sys.executable, "-m", "carrousel", *map(str, arguments)]


def train_a_model(folder: Path) -> Path:
    """A run of one step."""
    book, out = folder / "book.txt", folder / "model"
    book.write_text("the quick brown fox jumps over the lazy dog. " * 200)
    small = ("--steps", 1, "--hidden", 16, "--batch", 4, "--length", 16)
    subprocess.run(command_line("train", "text", book, "--out", out, *small), check=True, capture_output=True)
    return out


def to_the_end(command: Sequence[str]) -> float:
    """Seconds that a process takes."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def start_of_work(command: Sequence[str]) -> float:
    """Seconds until a command writes its first character, or, if it first computes, has loaded the kernels."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        if "sample" in command:
            process.stdout.read(1)
        else:
            wait_for_kernels(process)
        seconds = time.perf_counter() - began
        process.kill()
    return seconds


def wait_for_kernels(process: subprocess.Popen[bytes]) -> None:
    """Until a process has loaded the kernels, or has ended."""
    libraries = Path(f"/proc/{process.pid}/maps")
    while process.poll() is None and "carrousel/_kernels" not in libraries.read_text():
        time.sleep(0.001)


def compare(name: str, value: float, of_torch: float) -> Measurement:
    """A row of the table."""
    ratio = value / of_torch
    where = ("start-up", "until it works" if name in WORK else "to its end", name, 1)
    if name.startswith("carrousel "):
        return Measurement(*where, "carrousel", value, "ms", ratio, TARGET_OF_HELP, "value at most")
    target = TARGETS.get(name, WORK.get(name))
    return Measurement(*where, "torch" if name == TORCH else "carrousel", value, "ms", ratio, target, "ratio at most")
