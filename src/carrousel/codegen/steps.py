"""One C++ function as algebra: what it reads, computes and stores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Steps:
    """What a function reads, computes and stores.

    Args:
        reads: place -> symbol: "s[1]" -> c.
        values: symbol -> expression: c_new -> c f + g i.
        stores: place -> expression: "s_new[1]" -> c_new.
    """

    reads: dict[str, Any]
    values: dict[Any, Any]
    stores: dict[str, Any]

    def needed(self) -> dict[Any, Any]:
        """The values that the stores need, in order, each after those it is computed from."""
        found: dict[Any, Any] = {}
        for expr in self.stores.values():
            self._visit(expr, found)
        ordered: dict[Any, Any] = {}
        for symbol in self.values:
            if symbol in found:
                self._visit(symbol, ordered)
        return ordered

    def _visit(self, expr: Any, found: dict[Any, Any]) -> None:
        for symbol in self.values:
            if symbol in expr.free_symbols and symbol not in found:
                self._visit(self.values[symbol], found)
                found[symbol] = self.values[symbol]

    def loads(self) -> dict[Any, str]:
        """The symbols to read, each with the first place that holds it."""
        exprs = [*self.needed().values(), *self.stores.values()]
        used = {symbol for expr in exprs for symbol in expr.free_symbols}
        loads: dict[Any, str] = {}
        for place, symbol in self.reads.items():
            if symbol in used:
                loads.setdefault(symbol, place)
        return loads


def places(array: str, symbols: Iterable[Any]) -> dict[str, Any]:
    """ "s", [h, c] -> {"s[0]": h, "s[1]": c}."""
    return {f"{array}[{k}]": symbol for k, symbol in enumerate(symbols)}


def array_of(place: str) -> str:
    """ "s[1]" -> "s"."""
    return place.split("[")[0]
