"""The methods that the paper compares: one file each, found by itself and listed nowhere.

A method's file has a subclass of MethodSettings, a frozen dataclass with a `name`, whose `start` returns a Method; and
`ROWS`, the rows that it runs: {"4-1": its settings for row 4-1}. Figures of the paper are in ../tables.py, by (method,
row). The rows of the LSTM are in experiments/, with their readings.
"""

import importlib
import pkgutil
from typing import Any

from carrousel.papers.harness.method import MethodSettings

__all__ = ["METHODS", "ROWS"]


def discover() -> tuple[dict[str, type[MethodSettings]], dict[str, list[MethodSettings]]]:
    """Every method of this package by name, and the settings of the methods on each row, in the modules' order."""
    methods: dict[str, type[MethodSettings]] = {}
    rows: dict[str, list[MethodSettings]] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for value in vars(module).values():
            if not is_method(value, module.__name__):
                continue
            if methods.setdefault(value.name, value) is not value:
                raise ValueError(f"two methods are named {value.name!r}, one of them in {info.name}.py: rename one")
        for number, settings in getattr(module, "ROWS", {}).items():
            rows.setdefault(number, []).append(settings)
    return methods, rows


def is_method(value: Any, module: str) -> bool:
    """Whether a value is a class of settings that this module defines."""
    return isinstance(value, type) and issubclass(value, MethodSettings) and value.__module__ == module


METHODS, ROWS = discover()
