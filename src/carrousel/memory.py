"""How much memory is free, and an error of one line if it is too little.

Linux promises more memory than it has, and then kills the process that uses it. So a command that knows what it needs
checks here first.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from carrousel.errors import UserError

OUT_OF_MEMORY = re.compile(  # in messages of torch and of the kernels, on the CPU and on a GPU
    "bad_alloc|can't allocate memory|not enough memory|out of memory|calculation overflowed|"
    "can't start new thread|Resource temporarily unavailable",
    re.I,
)
AMOUNT = re.compile(r"(?:[Tt]ried to allocate|Unable to allocate) (\d[\d.]*) ?(bytes|[KMGTP]iB)")  # torch's, numpy's
UNITS: dict[str, int] = {"bytes": 1, **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGTP", start=1)}}
FACTORS = {"TB": 10**12, "GB": 10**9, "MB": 10**6}


def available() -> int | None:
    """Bytes that this process may still use, at most; None if the system does not say."""
    with suppress(OSError, ValueError, KeyError):
        machine = kilobytes("/proc/meminfo")
        limits = [machine["MemAvailable"] + machine.get("SwapFree", 0), *cgroup_limits()]
        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most != resource.RLIM_INFINITY:
            limits.append(max(0, most - kilobytes("/proc/self/status")["VmSize"]))
        return min(limits)
    return None


def kilobytes(path: str) -> dict[str, int]:
    """The lines `name: number kB` of a file in /proc, in bytes."""
    found = re.findall(r"^(\w+):\s+(\d+) kB$", Path(path).read_text(encoding="ascii", errors="replace"), re.M)
    return {name: int(number) * 1024 for name, number in found}


def cgroup_limits(own: str = "/proc/self/cgroup", system: str = "/sys/fs/cgroup") -> Iterator[int]:
    """The limits of the containers that this process is in, in bytes, for both versions of cgroups."""
    for line in Path(own).read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        root = Path(system, "memory" if controllers else "")
        for folder in (inner := root / path.lstrip("/"), *inner.parents):
            if folder.is_relative_to(root):
                with suppress(OSError, ValueError):  # "max", or a folder outside of the container
                    yield int((folder / name).read_text())


def require(needed: int, what: str, advice: str) -> None:
    """Raise an error if something takes more memory than is free.

    Args:
        needed: bytes, at least.
        what: what takes them: the subject of the error message.
        advice: what to do.

    Raises:
        UserError: fewer are free.
    """
    free = available()
    if free is not None and needed > free:
        raise UserError(f"{what} takes at least {size(needed)} of memory, and {size(free)} are free: {advice}")


@contextmanager
def explained(advice: Callable[[], str]) -> Iterator[None]:
    """Replace errors that say that memory ran out by a UserError of one line.

    Args:
        advice: returns what to do; called only if memory ran out.

    Raises:
        UserError: memory ran out; says how much was asked for, if that is known.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out(error):
            raise
        amount = f" ({size(asked_for(error))} were asked for at once)" if asked_for(error) else ""
        raise UserError(f"out of memory{amount}: {advice()}") from None


def is_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    return isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)) is not None


def asked_for(error: BaseException) -> int:
    """The bytes that could not be allocated; 0 if the error does not say."""
    found = AMOUNT.search(str(error))
    return int(float(found[1]) * UNITS[found[2]]) if found else 0


def size(number: int) -> str:
    """Bytes as people read them: 1.5 GB."""
    unit = next((unit for unit, factor in FACTORS.items() if number >= factor), "MB")
    return f"{number / FACTORS[unit]:,.1f} {unit}"
