"""A disk that fills up at random writes of a run: the last good checkpoint stays, and the run goes on from it."""

from __future__ import annotations

import errno
import os
import random
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from carrousel import checkpoint
from carrousel.cli import run
from carrousel.errors import UserError

from .children import Child
from .findings import Findings, judge
from .kills import LONGEST, arguments, remove, resume_and_compare, write_whole

ROOM = 32 * 2**20  # bytes of the disk


class SmallDisk:
    """A file system in memory, that another file fills up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, child: Child, left: int) -> None:
        """Leave so many bytes free for a run."""
        with open(self.folder / "filling", "wb", buffering=0) as file:
            with suppress(OSError):
                while True:
                    file.write(bytes(65536))
            with suppress(OSError):  # what is smaller than a page
                while True:
                    file.write(bytes(512))
            file.truncate(max(0, file.tell() - left))

    def free(self) -> None:
        """Make room again."""
        (self.folder / "filling").unlink(missing_ok=True)


class SmallFiles(SmallDisk):
    """Where no file system may be mounted: the kernel refuses writes beyond a size, as it does on a full disk."""

    def fill(self, child: Child, left: int) -> None:
        """Let no file of a run grow beyond so many bytes."""
        with suppress(ProcessLookupError):
            resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (left, left))


@contextmanager
def mount_disk(folder: Path) -> Iterator[SmallDisk]:
    """A small disk at a folder, or what comes nearest to it."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        print("disk: a file system cannot be mounted (that takes root); RLIMIT_FSIZE stops the writes instead")
        yield SmallFiles(folder)
        return
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def torture(name: str, trials: int, seed: int, folder: Path, findings: Findings) -> None:
    """Runs of a task whose disk fills up, and which are resumed when there is room again.

    Args:
        name: of the task.
        trials: how many runs.
        seed: of the moments, and of the bytes that are left.
        folder: for the files.
        findings: what is counted and found.
    """
    file, whole, seconds = write_whole(name, folder)
    size = sum(path.stat().st_size for path in whole.iterdir())
    with mount_disk(folder / "disk") as disk:
        out = disk.folder / "out"
        command = arguments(name, file, out)
        for trial in range(trials):
            draw, where = random.Random(f"{seed} {name} {trial}"), f"disk {name} seed {seed} trial {trial}"
            while not (ended := fill_once(command, disk, out, draw.uniform(0, seconds), draw.randrange(size))):
                remove(out)  # it ended before the disk was full
            wrong = judge(*ended) or check(ended[1], out)
            if wrong:
                findings.add_fault(where, wrong, out)
            findings.count(f"disk {name}: filled up, and the last checkpoint was good", not wrong)
            is_same = resume_and_compare(where, command, out, whole, findings)
            findings.count(f"disk {name}: runs resumed to the same end", is_same)
            remove(out)


def fill_once(
    command: list[str], disk: SmallDisk, out: Path, seconds: float, left: int
) -> tuple[int | None, str] | None:
    """Fill the disk after so many seconds of a run, down to so many bytes; make room when the run has ended.

    Returns:
        The end of the run, as `Child.finish`; None: it did not notice.
    """
    child = Child(lambda: run(command), disk.folder.with_name("errors.txt"))
    time.sleep(seconds)
    disk.fill(child, left)
    code, errors = child.finish(LONGEST)
    disk.free()
    return None if (code, errors) == (0, "") else (code, errors)


def check(errors: str, out: Path) -> str:
    """What is wrong after a run whose disk was full, or ""."""
    reasons = [os.strerror(number) for number in (errno.ENOSPC, errno.EFBIG)]
    if not any(reason in errors for reason in reasons):
        return f"it does not say that the disk is full: {errors}"
    for path in out.glob("*.safetensors"):
        try:
            checkpoint.read(path, "")
        except UserError as error:
            return f"the last checkpoint is lost: {error}"
    partial = list(out.glob("*.partial"))
    return f"{partial[0].name} stays" if partial else ""
