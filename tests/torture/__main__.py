"""`python -m tests.torture`: kills, damaged files, full disks and threads, as often as asked for; prints the counts."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

# Before torch and pyarrow are imported: a process with threads that compute cannot fork children that compute too; and
# each allocator of its own reserves address space, which the limit on memory counts.
os.environ.update(OMP_NUM_THREADS="1", ARROW_DEFAULT_MEMORY_POOL="system", MPLBACKEND="agg")

from carrousel.cli import train
from tests.torture import checkpoints, disk, files, kills, threads
from tests.torture.findings import Findings

IMPORTED = (
    "matplotlib.backends.backend_agg",
    "pyarrow.csv",
    "pyarrow.parquet",
    "sacrebleu",
    "sentencepiece",
    "torch._dynamo",  # by the optimizers
)
PARTS = ("kills", "files", "disk", "threads")


def main(arguments: Sequence[str]) -> int:
    """Run the parts, print the counts, and return 1 if there was a fault."""
    from every_task import TASKS

    options = parse(arguments, list(TASKS))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # disks are unmounted
    import_everything()
    findings = Findings(options.keep)
    for part, run_part in PLAN.items():
        if not options.only or part in options.only:
            start = time.monotonic()
            run_part(options, findings)
            print(f"{part}: {time.monotonic() - start:.0f} s", flush=True)
    print("\n".join(f"{count:>8,}  {what}" for what, count in findings.tried.items()))
    print(f"seed {options.seed}; {len(findings.faults)} faults" + (f", in {options.keep}" if findings.faults else ""))
    return bool(findings.faults)


def parse(arguments: Sequence[str], tasks: list[str]) -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part, or several: give it again")
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=tasks, help="some tasks: text,tag")
    parser.add_argument("--kills", type=int, default=100, help="runs of each task that are killed and resumed")
    parser.add_argument(
        "--files", type=int, default=10_000, help="damaged files and checkpoints, of all tasks together"
    )
    parser.add_argument("--disk", type=int, default=50, help="runs of each task whose disk fills up")
    parser.add_argument("--rounds", type=int, default=100, help="rounds of streams on threads")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats a fault; default: a new one")
    parser.add_argument("--keep", type=Path, default=Path("build/torture"), help="folder for what shows a fault")
    options = parser.parse_args(arguments)
    if unknown := set(options.tasks) - set(tasks):
        parser.error(f"--tasks {','.join(sorted(unknown))}: the tasks are {','.join(tasks)}")
    return options


def import_everything() -> None:
    """What commands import when they need it, so that no child does."""
    for name in IMPORTED:
        import_module(name)
    train.all_commands()


def in_folder(run: Callable[[Path], None]) -> None:
    """Call a function with a new folder, which is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    try:
        run(folder)
    finally:
        shutil.rmtree(folder)


def run_kills(options: argparse.Namespace, findings: Findings) -> None:
    """Every task, killed and resumed."""
    for name in options.tasks:
        in_folder(lambda folder, name=name: kills.torture(name, options.kills, options.seed, folder, findings))


def run_files(options: argparse.Namespace, findings: Findings) -> None:
    """Damaged files, three quarters of them with data, the others checkpoints."""
    kinds = files.all_kinds(options.tasks)
    in_part = -(-options.files * 3 // (4 * len(kinds)))
    for kind in kinds:
        in_folder(lambda folder, kind=kind: files.torture(kind, in_part, options.seed, folder, findings))
    in_part = -(-options.files // (4 * len(options.tasks)))
    for name in options.tasks:
        in_folder(lambda folder, name=name: checkpoints.torture(name, in_part, options.seed, folder, findings))


def run_disk(options: argparse.Namespace, findings: Findings) -> None:
    """Every task, on a disk that fills up."""
    for name in options.tasks:
        in_folder(lambda folder, name=name: disk.torture(name, options.disk, options.seed, folder, findings))


def run_threads(options: argparse.Namespace, findings: Findings) -> None:
    """The kernels, and streams."""
    threads.torture_kernels(findings)
    in_folder(lambda folder: threads.torture_streams(options.rounds, options.seed, folder, findings))


PLAN = {"kills": run_kills, "files": run_files, "disk": run_disk, "threads": run_threads}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
