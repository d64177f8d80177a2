"""Write a series to forecast: the height of the water in a harbour, every hour, as CSV.

    python examples/tides.py > tides.csv
    carrousel train forecast tides.csv --horizon 48 --minutes 1 --out runs/tides

The tide is synthetic: five of the waves that sun and moon raise, with the periods that they have, and on top of them
the wind, which is a random walk that is drawn back to zero. The waves can be predicted for days, the wind for hours.
"""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta

HOURS = 24 * 150
WAVES = {"M2": (12.4206, 1.00), "S2": (12.0, 0.35), "N2": (12.6583, 0.20), "K1": (23.9345, 0.15), "O1": (25.8193, 0.10)}
STAYS, GUST = 0.97, 0.04  # the part of the wind's effect that is left after an hour, and the deviation of what is new


def heights() -> list[float]:
    """The height of each hour, in metres."""
    draw = random.Random(1)
    phases = {name: draw.uniform(0, 2 * math.pi) for name in WAVES}
    wind, found = 0.0, []
    for hour in range(HOURS):
        wind = STAYS * wind + draw.gauss(0, GUST)
        turns = {name: 2 * math.pi * hour / period + phases[name] for name, (period, _) in WAVES.items()}
        found.append(wind + sum(size * math.cos(turns[name]) for name, (_, size) in WAVES.items()))
    return found


if __name__ == "__main__":
    start = datetime(2024, 1, 1)
    print("time,height")
    for hour, height in enumerate(heights()):
        print(f"{start + timedelta(hours=hour):%Y-%m-%d %H:%M},{height:.3f}")
