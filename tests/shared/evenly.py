"""Small tables of series over even steps for the tests."""

from __future__ import annotations

import datetime
import math
import random
from pathlib import Path

SHOPS = {"north": 60, "south": 45, "new": 5}  # and their days


def series_text(seed: int = 1, shops: dict[str, int] = SHOPS, start: str = "2024-01-01") -> str:
    """A CSV file: sales with a week's rhythm, a price that moves them, and the city of each shop."""
    draw = random.Random(seed)
    first = datetime.date.fromisoformat(start)
    lines = ["shop,day,sold,price,city"]
    for number, (shop, days) in enumerate(shops.items()):
        for day in range(days):
            price = draw.choice([1.0, 2.0])
            sold = 50 + 10 * number + 8 * math.sin(2 * math.pi * day / 7) - 5 * price + draw.gauss(0, 0.5)
            lines.append(f"{shop},{first + datetime.timedelta(day)},{sold:.3f},{price},city {number % 2}")
    return "\n".join([*lines, ""])


def write_series(folder: Path, name: str = "sales.csv", **arguments) -> Path:
    """A file of `series_text`."""
    path = folder / name
    path.write_text(series_text(**arguments), encoding="utf-8")
    return path
