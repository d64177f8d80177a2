"""Rows on all cores: the longest first, rows of one rule side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace

from carrousel.papers.harness import trials
from carrousel.papers.harness.finished_trials import FinishedTrials
from carrousel.papers.harness.paper_row import PaperRow
from carrousel.papers.harness.trials import Outcome


def run_all(
    rows: Sequence[PaperRow],
    counts: dict[str, int],
    finished: FinishedTrials,
    progress: Callable[[PaperRow, Outcome], None],
    halted: Callable[[], bool],
) -> dict[str, float]:
    """Run the trials of the rows that have not ended yet: each rule on a core of its own, the longest first.

    Args:
        rows: the rows.
        counts: number of trials of each, by its key.
        finished: the trials that ended before; those that end now are added.
        progress: called with each trial that ends.
        halted: once it returns True, nothing more is run.

    Returns:
        The seconds of each row, by its key, including those of trials that ended before.

    Raises:
        UserError: a trial cannot be saved; nothing more is run.
    """
    seconds = {row.key: max((o.seconds for o in finished.of(row, counts[row.key])), default=0.0) for row in rows}
    before = dict(seconds)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    over = threading.Event()

    def stop() -> bool:
        return over.is_set() or halted()

    def done(row: PaperRow, outcome: Outcome) -> None:
        outcome = replace(outcome, seconds=round(before[row.key] + outcome.seconds, 3))
        finished.add(row, outcome)
        seconds[row.key] = max(seconds[row.key], outcome.seconds)
        progress(row, outcome)

    groups = group_by_rule(rows, counts, finished)

    def run(group: Sequence[tuple[PaperRow, int]]) -> None:
        if not stop():
            trials.run_trials(group, finished.seed, done, stop, threads=cores if len(groups) == 1 else 1)

    with ThreadPoolExecutor(max_workers=cores) as pool:
        futures = [pool.submit(run, group) for group in groups]
        wait(futures, return_when=FIRST_EXCEPTION)
        over.set()  # if one has failed, the others stop
        for future in futures:
            future.result()
    return seconds


def group_by_rule(
    rows: Sequence[PaperRow], counts: dict[str, int], finished: FinishedTrials
) -> list[list[tuple[PaperRow, int]]]:
    """The trials that have not ended, grouped by rule; groups, and trials in a group, the longest first.

    Ten trials of one row leave six of sixteen lanes empty, and its last trial leaves fifteen empty. With several rows
    side by side the time depends on the sum of their sequences, not on the sum of each row's longest trial.
    """
    found: dict[tuple[object, ...], list[tuple[PaperRow, int]]] = {}
    for row in rows:
        ended = {outcome.trial for outcome in finished.of(row, counts[row.key])}
        left = sorted(set(range(counts[row.key])) - ended)
        found.setdefault(row.rule, []).extend((row, number) for number in left)
    for group in found.values():
        group.sort(key=lambda trial: (-trial[0].steps, trial[1]))
    expected = {rule: sum(row.steps * row.cap for row, _ in group) for rule, group in found.items()}
    return [found[rule] for rule in sorted(found, key=lambda rule: -expected[rule]) if found[rule]]
