"""What is right, what is wrong, and the files that show it."""

from __future__ import annotations

import collections
import re
import shutil
import signal
from pathlib import Path

MOST_PRINTED = 300  # characters of an error


class Findings:
    """Counts what was tried, and saves what shows a fault.

    Args:
        folder: for the files; made when the first fault is found.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tried: collections.Counter[str] = collections.Counter()
        self.faults: list[str] = []

    def count(self, what: str, times: int = 1) -> None:
        """So many more were tried."""
        self.tried[what] += times

    def add_fault(self, where: str, what: str, *files: Path) -> None:
        """Save a fault with the files that show it, and print it.

        Args:
            where: the part, the task and the seed: what repeats it.
            what: happened.
            files: copied; one that is not there is left out.
        """
        folder = self.folder / re.sub(r"\W+", "-", where)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "what.txt").write_text(f"{where}\n{what}\n")
        for file in files:
            if file.is_dir():
                shutil.copytree(file, folder / file.name, dirs_exist_ok=True)
            elif file.exists():
                shutil.copy(file, folder)
        self.faults.append(f"{where}: {what}")
        print(f"FAULT {where}: {what[-MOST_PRINTED:]}  ({folder})", flush=True)


def judge(code: int | None, errors: str, may_fail: bool = True) -> str:
    """What is wrong with the end of a command, or "".

    Args:
        code: the exit code, or the negative signal; None: it hung.
        errors: what it wrote to stderr.
        may_fail: whether exit code 2 with one line is right.
    """
    if code is None:
        return "it hangs"
    if code < 0:
        return f"ended by {signal.Signals(-code).name}: {errors}"
    if code == 0:
        return f"exit code 0, and on stderr: {errors}" if errors else ""
    if code != 2 or not re.fullmatch(r"carrousel: [^\n]+\n", errors) or "Traceback" in errors:
        return f"exit code {code}: {errors}"
    if "out of memory" in errors:
        return f"asked for more than 2 GB: {errors}"
    return "" if may_fail else f"failed: {errors}"
