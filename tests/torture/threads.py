"""The C++ tests under ThreadSanitizer, and streams on many threads in Python.

`make torture` compiles the tests before; without doctest they are left out, in so many words.
"""

from __future__ import annotations

import os
import random
import subprocess
import threading
from pathlib import Path

import torch
from streams import data, layer_of
from torch import Tensor

from .children import Child
from .findings import Findings

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "threads-sanitized" / "kernels" / "tests" / "kernel_tests"
OPTIONS = {"TSAN_OPTIONS": "halt_on_error=0 exitcode=66 history_size=7"}  # 7: the stacks of both accesses that race
CELLS = ("lstm", "gru", "rnn_tanh", "peephole", "slstm")
STEPS, THREADS = 120, 4
LONGEST = 120.0  # seconds of a round of a tenth of one
LONGEST_TESTS = 3600.0  # seconds of all C++ tests, which are 20 times as slow as without the sanitizer
IN_USE = "in use by another thread"


def torture_kernels(findings: Findings) -> None:
    """The C++ tests: each data race that ThreadSanitizer reports is a fault."""
    if not PROGRAM.exists():
        print(f"threads: ThreadSanitizer is LEFT OUT, there is no {PROGRAM}: make torture compiles it (with doctest)")
        return
    found = subprocess.run(
        [PROGRAM], capture_output=True, text=True, env={**os.environ, **OPTIONS}, timeout=LONGEST_TESTS
    )
    races = found.stderr.count("WARNING: ThreadSanitizer")
    findings.count("threads: runs of the C++ tests under ThreadSanitizer")
    if found.returncode or races:
        findings.add_fault(
            "threads C++", f"{races} data races, exit code {found.returncode}\n{found.stdout}\n{found.stderr}"
        )


def torture_streams(rounds: int, seed: int, folder: Path, findings: Findings) -> None:
    """Streams on several threads: the same bits as on one; a state on two threads is refused, and nothing crashes.

    Args:
        rounds: how many.
        seed: of the sizes and of the pieces.
        folder: for the files.
        findings: what is counted and found.
    """
    for number in range(rounds):
        draw = random.Random(f"{seed} {number}")
        code, text = Child(lambda draw=draw: run_round(draw), folder / "errors.txt").finish(LONGEST)
        if code != 0:
            findings.add_fault(f"threads streams seed {seed} round {number}", f"exit code {code}: {text}")
        findings.count("threads: rounds of streams in Python")


def run_round(draw: random.Random) -> int:
    """A layer, a state for each thread, and one that two threads use."""
    with torch.no_grad():
        layer = layer_of(draw.choice(CELLS), 8, draw.choice([3, 16, 64]))
        xs = [data(layer, STEPS, draw.choice([1, 2, 8])) for _ in range(THREADS)]
        expected = [layer(x)[0] for x in xs]
        pieces = [cut(draw) for _ in xs]
        got: list[Tensor | None] = [None] * THREADS
        shared, refused = layer.start(xs[0].shape[1]), []

        def stream(number: int) -> None:
            with torch.no_grad():
                state = layer.start(xs[number].shape[1])
                parts = xs[number].split(pieces[number])
                got[number] = torch.cat(
                    [layer.step(x[0], state)[None] if len(x) == 1 else layer.block(x, state) for x in parts]
                )

        def meet() -> None:
            with torch.no_grad():
                for _ in range(20):
                    try:
                        layer.block(xs[0], shared)
                    except RuntimeError as error:
                        refused.append(str(error))

        threads = [threading.Thread(target=stream, args=(number,)) for number in range(THREADS)]
        threads += [threading.Thread(target=meet) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    same = all(y is not None and torch.equal(y, right) for y, right in zip(got, expected))
    return 0 if same and all(IN_USE in each for each in refused) else 1


def cut(draw: random.Random) -> list[int]:
    """The lengths of pieces of a sequence, half of them of one step."""
    lengths = []
    while sum(lengths) < STEPS:
        lengths.append(min(STEPS - sum(lengths), draw.choice([1, draw.randint(2, 20)])))
    return lengths
