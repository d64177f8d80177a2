"""Season, horizon, window and segment of a forecast, where options leave them open."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from carrousel.data.steps import SECOND, Step
from carrousel.errors import UserError

SECONDS = {"minute": 60, "hour": 3600, "day": 86_400, "week": 7 * 86_400, "year": 365 * 86_400}
LONGEST = 336  # steps of a window by default: two weeks of hours
SEGMENTS = 12  # a window by default has at least so many


@dataclass(frozen=True)
class Sizes:
    """The sizes of a forecast, in steps.

    season: after so many steps a series is expected to repeat itself; 1: it is not.
    horizon: steps that are predicted.
    window: steps that are read before them.
    segment: steps that the recurrent layers read at a time.
    """

    season: int
    horizon: int
    window: int
    segment: int

    def to_json(self) -> dict[str, int]:
        """In types that JSON has."""
        return asdict(self)


def choose_sizes(
    step: Step, longest: int, season: int | None, horizon: int | None, window: int | None, segment: int | None
) -> Sizes:
    """The sizes that options name; None: guessed from the step of the series and from their length.

    Args:
        step: what lies between two steps.
        longest: steps of the longest series.
        season, horizon, window, segment: options.

    Raises:
        UserError: the window is not a multiple of the segment.
    """
    season = season or guess_season(step)
    horizon = horizon or season
    if window is None:
        wanted = longest_window(season, longest, horizon)
        window = wanted if segment is None else max(segment, wanted // segment * segment)
    segment = segment or longest_segment(season, window)
    if window % segment:
        nearest = max(1, window // segment) * segment
        raise UserError(
            f"--window {window} is not a multiple of --segment {segment}: give --window {nearest}, or another --segment"
        )
    return Sizes(season, horizon, window, segment)


def guess_season(step: Step) -> int:
    """The steps of a day for steps below a day, of a week for days, of a year for longer ones; 1 for other steps."""
    if step.unit == "month":
        return max(1, 12 // int(step.size)) if 12 % step.size == 0 else 1
    if step.unit != "microsecond":
        return 1
    seconds = step.size / SECOND
    if seconds < SECONDS["minute"]:
        period = SECONDS["minute"]
    elif seconds < SECONDS["day"]:
        period = SECONDS["day"]
    elif seconds < SECONDS["week"]:
        period = SECONDS["week"]
    else:
        period = SECONDS["year"]
    count = period / seconds
    return round(count) if count >= 1 and (count.is_integer() or period == SECONDS["year"]) else 1


def longest_window(season: int, longest: int, horizon: int) -> int:
    """The longest window of whole seasons of at most LONGEST steps that leaves two thirds of a series to train on."""
    most = max(1, min(LONGEST, (longest - horizon) // 3))
    return most // season * season or most


def longest_segment(season: int, window: int) -> int:
    """The longest part of a season of which a window has at least SEGMENTS; 1 if there is none."""
    fits = [size for size in range(1, season + 1) if season % size == 0 and window % size == 0]
    return max((size for size in fits if window // size >= SEGMENTS), default=1)
