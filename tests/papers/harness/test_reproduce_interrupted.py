"""`carrousel reproduce` that is stopped, killed, out of room or not alone: trials that have ended are kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from runs import ENVIRONMENT, PROGRAM, carrousel_done, carrousel_process

from carrousel import cli
from carrousel.errors import UserError
from carrousel.fused.kernels import LSTM1997
from carrousel.papers.harness import trials
from carrousel.papers.harness.finished_trials import FinishedTrials
from carrousel.papers.harness.run_all import run_all
from carrousel.papers.harness.trials import Outcome
from carrousel.papers.lstm1997.experiments import ALL

pytestmark = pytest.mark.slow

native = pytest.mark.skipif(LSTM1997 is None, reason="the compiled kernels are missing: no trial can run")
posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of a process as POSIX has them")
ROWS = {row.number: row for experiment in ALL.values() for row in experiment.rows}


def outcome(trial, **facts):
    return Outcome(trial, True, 1000 + trial, [1000 + trial], curve=[[k, 0.5] for k in range(300)], **facts)


def trials_of(path, number, seed=0):
    return [o.trial for o in FinishedTrials(path, seed).of(ROWS[number], 100)]


# ---- the file of the trials that have ended -------------------------------------------------------------------------


@pytest.mark.parametrize("part", [1, 20, 0.5, -1], ids=["one byte", "a word", "half", "all but the line's end"])
def test_a_line_that_was_cut_short_costs_its_own_trial_only(tmp_path, part):
    path = tmp_path / "trials.jsonl"
    kept = FinishedTrials(path, 0)
    kept.add(ROWS["6a"], outcome(0))
    whole = path.read_bytes()
    kept.add(ROWS["6a"], outcome(1))
    line = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + line[: int(part * len(line)) if isinstance(part, float) else part])
    FinishedTrials(path, 0).add(ROWS["6a"], outcome(2))
    FinishedTrials(path, 0).add(ROWS["6a"], outcome(3))
    assert trials_of(path, "6a") == ([0, 1, 2, 3] if part == -1 else [0, 2, 3])


TRIAL = '{"seed": 0, "row": "6a", "trial": 0, "solved": true, "sequences": 5, "stages": []}'
CHANGES = [
    ('"6a"', '["6a"]'),
    ("true", "1"),
    ("5", '"5"'),
    ("5", "1e400"),
    ("[]", "[null]"),
    ('"trial": 0', '"trial": true'),
]
CHANGES += [("[]", f"[], {fact}") for fact in ('"wrong": "a"', '"seconds": null', '"curve": [[true]]', '"other": 1')]
GARBAGE = [b"\xff\xfe{", b"\0" * 100, b"{}", b"[1]", b"12", b"", b"\n\n", b"null", b"[" * 10**5]
GARBAGE += [TRIAL.replace(*change).encode() for change in CHANGES]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: repr(garbage[-60:]))
def test_what_is_no_trial_is_passed_over(tmp_path, garbage):
    path = tmp_path / "trials.jsonl"
    path.write_bytes(garbage)
    kept = FinishedTrials(path, 0)
    assert kept.outcomes == {}
    kept.add(ROWS["6a"], outcome(5))
    assert trials_of(path, "6a") == [5]


def test_a_row_that_is_told_takes_no_other_runs_trials_with_it(tmp_path):
    path = tmp_path / "trials.jsonl"
    FinishedTrials(path, seed=7).add(ROWS["6a"], outcome(0))
    kept = FinishedTrials(path, seed=0)
    kept.add(ROWS["6a"], outcome(0))
    kept.add(ROWS["6a"], outcome(9))
    kept.add(ROWS["4-3"], outcome(0))  # hours, interrupted the day before
    kept.forget({"6a": 2})
    assert (trials_of(path, "6a"), trials_of(path, "4-3"), trials_of(path, "6a", seed=7)) == ([9], [0], [0])
    kept.forget({"6a": 10, "4-3": 1})
    FinishedTrials(path, seed=7).forget({"6a": 1})
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys
from pathlib import Path
from carrousel.papers.lstm1997.experiments import ALL
from carrousel.papers.harness.finished_trials import FinishedTrials
from carrousel.papers.harness.trials import Outcome

kept = FinishedTrials(Path(sys.argv[1]), int(sys.argv[2]))
row = ALL["temporal-order"].rows[0]
for trial in range(30):
    kept.add(row, Outcome(trial, True, 0, [], curve=[[k, 0.5] for k in range(1200)]))  # more than a buffer holds
"""


def test_two_runs_write_into_one_file_and_neither_cuts_the_others_lines(tmp_path):
    path = tmp_path / "trials.jsonl"
    runs = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), seed], env=ENVIRONMENT) for seed in ("1", "2")]
    assert [run.wait(120) for run in runs] == [0, 0]
    assert trials_of(path, "6a", seed=1) == trials_of(path, "6a", seed=2) == list(range(30))


def test_the_seconds_of_a_run_that_went_on_are_those_of_both_parts(tmp_path, monkeypatch):
    def run(work, seed, done, halted, threads):
        for row, number in work:
            done(row, outcome(number, seconds=10.0 + number))

    monkeypatch.setattr(trials, "run_trials", run)
    row, path = ROWS["6a"], tmp_path / "trials.jsonl"
    run_all([row], {"6a": 2}, FinishedTrials(path, 0), lambda *_: None, lambda: False)
    assert run_all([row], {"6a": 4}, FinishedTrials(path, 0), lambda *_: None, lambda: False) == {"6a": 11.0 + 13.0}


def test_where_a_trial_cannot_be_kept_the_other_rows_do_not_go_on(tmp_path, monkeypatch):
    kept = FinishedTrials(tmp_path / "trials.jsonl", 0)
    endless = []

    def run(work, seed, done, halted, threads):
        if work[0][0].number == "6a":
            done(work[0][0], outcome(0))
        deadline = time.monotonic() + 30
        while not halted() and time.monotonic() < deadline:
            time.sleep(0.01)
        endless.append(not halted())

    def full(line):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trials, "run_trials", run)
    monkeypatch.setattr(kept, "append", full)
    with pytest.raises(UserError, match=r"No space left on device.*free some space"):
        run_all([ROWS["6a"], ROWS["6b"]], {"6a": 1, "6b": 1}, kept, lambda *_: None, lambda: False)
    assert True not in endless


# ---- real processes -------------------------------------------------------------------------------------------------


def command(out, *arguments):
    return ["reproduce", *arguments, "--out", str(out), "--no-plot", "--json", "-"]


def told(out, *arguments):
    """The rows of a run that ends, without the time it took."""
    code, said, errors = carrousel_done(*command(out, *arguments))
    assert (code, errors) == (0, "")
    return [{**row, "seconds": None} for row in json.loads(said)]


def lines(path):
    """The trials kept, without one that is still being written, or that a kill cut off."""
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


@native
@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_process_that_is_stopped_keeps_its_trials_and_the_next_one_goes_on(tmp_path, number):
    """Row 4-1, which fails, runs for long after row 6a has ended."""
    path = tmp_path / "trials.jsonl"
    run = carrousel_process(*command(tmp_path, "--row", "6a", "--row", "4-1", "--trials", "3"))
    deadline = time.monotonic() + 120
    while len(lines(path)) < 3 and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(number)
    said, errors = run.communicate(timeout=120)
    assert run.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    assert said == ""
    assert "Traceback" not in errors
    assert number == signal.SIGKILL or (str(path) in errors and len(errors.splitlines()) == 1)
    kept = [json.loads(line) for line in lines(path)]
    assert [line["row"] for line in kept[:3]] == ["6a"] * 3

    (row,) = told(tmp_path, "--row", "6a", "--trials", "4")  # one trial more than was kept
    assert row["trials"] == 4
    if number == signal.SIGINT:
        assert [row] == told(tmp_path / "never stopped", "--row", "6a", "--trials", "4")
    assert {json.loads(line)["row"] for line in lines(path)} <= {"4-1"}


@native
@posix
def test_a_full_disk_is_told_in_a_line_and_costs_nothing_that_was_kept(tmp_path):
    row = ("--row", "6a", "--trials", "6")
    limited = ["bash", "-c", 'ulimit -f 16; exec "$@"', "bash", *PROGRAM, *command(tmp_path, *row)]
    done = subprocess.run(limited, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "trials.jsonl cannot be written (File too large)" in done.stderr
    assert 1 <= len(trials_of(tmp_path / "trials.jsonl", "6a")) < 6
    assert told(tmp_path, *row) == told(tmp_path / "elsewhere", *row)


# ---- places that cannot be written are told before the first trial ---------------------------------------------------


@pytest.fixture
def no_trials(monkeypatch):
    def run(*_, **__):
        raise AssertionError("a trial was run")

    monkeypatch.setattr(trials, "run_trials", run)


@pytest.mark.parametrize("option", ["--json", "--markdown"])
@pytest.mark.parametrize("where", ["no such folder/file", ""], ids=["no folder", "a folder"])
def test_an_unwritable_file_is_told_first(tmp_path, capsys, no_trials, option, where):
    assert cli.run(["reproduce", "--row", "6a", "--out", str(tmp_path / "out"), option, str(tmp_path / where)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"carrousel: {option} {tmp_path}")
    assert "name another file" in error


def test_an_unusable_folder_is_told_first(tmp_path, capsys, no_trials):
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / "trials.jsonl").mkdir(parents=True)
    for out in ("file", "file/below", "taken"):
        assert cli.run(["reproduce", "--row", "6a", "--out", str(tmp_path / out)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"carrousel: --out {tmp_path / out} cannot be used")
        assert len(error.splitlines()) == 1


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_told_first(tmp_path, capsys, no_trials):
    tmp_path.chmod(0o500)
    assert cli.run(["reproduce", "--row", "6a", "--out", str(tmp_path)]) == 2
    assert "cannot be used (Permission denied)" in capsys.readouterr().err


def test_kept_trials_are_what_was_added(tmp_path):
    path = tmp_path / "trials.jsonl"
    given = replace(outcome(3), wrong=2, absolute=0.01, squared=1e-4, grown=600, seconds=1.5, weights=[0.1, -1e-30])
    FinishedTrials(path, 0).add(ROWS["6a"], given)
    assert FinishedTrials(path, 0).of(ROWS["6a"], 4) == [given]
    assert FinishedTrials(path, 0).of(ROWS["6a"], 3) == []  # fewer are asked for
