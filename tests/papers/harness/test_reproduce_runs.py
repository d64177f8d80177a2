"""`carrousel reproduce`: what is chosen, what a run tells, and that an interrupted run goes on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from carrousel import cli
from carrousel.errors import UserError
from carrousel.fused.kernels import LSTM1997
from carrousel.papers.harness import document, trials
from carrousel.papers.harness.choice import choose
from carrousel.papers.harness.finished_trials import FinishedTrials
from carrousel.papers.harness.report import report
from carrousel.papers.harness.run_all import group_by_rule, run_all
from carrousel.papers.harness.trials import Outcome, thin
from carrousel.papers.lstm1997.experiments import ALL

native = pytest.mark.skipif(LSTM1997 is None, reason="the compiled kernels are missing: no trial can run")


def numbers(*arguments):
    return [row.key for _, row in choose(ALL, *arguments)]


# ---- what is chosen -------------------------------------------------------------------------------------------------


def test_an_experiment_is_its_short_rows_and_their_readings():
    assert numbers(["temporal-order"], [], "literal", False) == ["6a"]
    adding = numbers(["adding"], [], None, False)
    assert adding[:2] == ["4-1", "4-1 linear-output"]
    assert not any(key.startswith("4-3") for key in adding)
    assert numbers(["temporal-order"], [], "literal", True) == ["6a", "6b"]


def test_rows_by_the_papers_names():
    assert numbers([], ["1-3", "6b"], None, False) == ["1-3", "6b"]
    assert numbers([], ["2c"], None, False) == [f"2c-{k}" for k in range(1, 10)]
    assert numbers([], ["4"], "linear-output", False) == [f"4-{k} linear-output" for k in (1, 2, 3)]
    assert len(numbers([], ["4-1"], "all", False)) > 2
    assert numbers([], ["6"], None, False) == ["6a", "6b"]
    assert numbers([], ["3"], None, False) == numbers(["two-sequence"], [], "literal", True)
    assert numbers([], ["6A"], None, False) == ["6a"]


def test_all_is_every_row_of_the_tables():
    from carrousel.papers.lstm1997.tables import LSTM

    assert set(numbers([], [], "literal", True)) == set(LSTM)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["addding"], [], None, False), "there is no experiment 'addding'; there are reber"),
        ((["adding"], ["6a"], None, False), "--row 6a does not exist here; use 4-1"),
        (
            (["adding"], [], "loose", False),
            "--reading 'loose' is not a reading of these rows; use all, literal, linear-output, ",
        ),
    ],
    ids=["experiment", "row", "reading"],
)
def test_wrong_names_are_told(arguments, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        choose(ALL, *arguments)


def test_errors_come_in_one_line(capsys):
    assert cli.run(["reproduce", "addding"]) == 2
    assert capsys.readouterr().err.startswith("carrousel: there is no experiment 'addding'")
    assert cli.run(["reproduce", "adding", "--trials", "0"]) == 2


def test_list(capsys):
    assert cli.run(["reproduce", "--list"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in ALL)


# ---- what is told ---------------------------------------------------------------------------------------------------


def made(number, reading="literal"):
    experiments = [(e, row) for e in ALL.values() for row in (*e.rows, *e.variants)]
    return next((e, row) for e, row in experiments if (row.number, row.reading) == (number, reading))


def test_a_failed_trial_counts_as_failed():
    experiment, row = made("4-1")
    outcomes = [
        Outcome(0, True, 80_000, [80_000], wrong=2),
        Outcome(1, False, row.cap, []),
        Outcome(2, False, row.cap, []),
    ]
    facts = report(experiment, row, outcomes, 1.0)
    assert (facts["trials"], facts["solved"], facts["mean_sequences"], facts["wrong_of_2560"]) == (3, 1, 80_000, 2)
    assert facts["verdict"].startswith("missed: solved 1 of 3, paper 10 of 10")
    none = report(experiment, row, outcomes[1:], 1.0)
    assert none["mean_sequences"] is None
    assert none["verdict"].startswith("missed: solved 0 of 2")


def test_the_document_has_every_row_and_reading():
    rows = []
    for key in [("4-1", "literal"), ("4-1", "linear-output"), ("3a-1", "literal")]:
        experiment, row = made(*key)
        outcome = Outcome(
            0, True, 50_000, [40_000, 50_000][: row.criterion.stages], wrong=1, absolute=0.01, squared=0.001
        )
        rows.append(report(experiment, row, [outcome] * row.paper.trials, 2.0))
    text = document.markdown("# Title\n", ALL.values(), rows, seed=7)
    assert (
        "| 4-1 | T = 100 | literal | 10/10 / 10/10 | 50,000 ± 0 / 74,000 | 1.0 / 1 | 0.68 | reproduced | 2.0 |" in text
    )
    assert "| 4-1 | T = 100 | linear-output |" in text
    assert text.count("* `linear-output`: The output unit is linear, not logistic.\n") == 1
    assert "ST1 after 40,000 (paper 27,380)" in text
    assert "Literal readings reproduced: 2 of 2. Seed 7" in text


def test_curves_are_thinned_to_means():
    assert thin([(k, float(k)) for k in range(10)]) == [[k, float(k)] for k in range(10)]
    curve = thin([(k, float(k % 2)) for k in range(1200)])
    assert len(curve) == 300
    assert {error for _, error in curve} == {0.5}
    assert curve[-1][0] == 1199


# ---- runs -----------------------------------------------------------------------------------------------------------


def short(number="6a", cap=300):
    """A row whose trials all fail after `cap` sequences: it takes milliseconds."""
    _, row = made(number)
    return replace(row, until=cap)


def finished(row, kept, counts=4, halted=lambda: False):
    seen = []
    run_all([row], {row.key: counts}, kept, lambda row, outcome: seen.append(outcome.trial), halted)
    return sorted(seen)


def of(row, numbers):
    """The outcomes of these trials of the row, in the order in which they ended."""
    outcomes = []
    trials.run_trials([(row, number) for number in numbers], 0, lambda row, outcome: outcomes.append(outcome))
    return outcomes


def alike(outcomes):
    return [replace(outcome, seconds=0.0) for outcome in outcomes]


@native
def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path):
    row, whole = short(), FinishedTrials(tmp_path / "whole.jsonl", seed=3)
    assert finished(row, whole) == [0, 1, 2, 3]

    path = tmp_path / "kept.jsonl"
    assert finished(row, FinishedTrials(path, seed=3), counts=2) == [0, 1]
    path.write_text(path.read_text() + '{"seed": 3, "row": "6a", "tri')  # killed while it wrote
    again = FinishedTrials(path, seed=3)
    assert finished(row, again) == [2, 3]
    assert alike(again.of(row, 4)) == alike(whole.of(row, 4))
    assert finished(row, FinishedTrials(path, seed=4), counts=1) == [0]  # another seed is another run


@native
def test_nothing_runs_once_halted(tmp_path):
    assert finished(short(), FinishedTrials(tmp_path / "kept.jsonl", seed=0), halted=lambda: True) == []


@native
@pytest.mark.parametrize("number", ["1-5", "2a", "2c-1", "3a-1", "3c-1", "4-1", "5-1"])
def test_every_kind_of_experiment_runs_to_its_cap(number):
    outcomes = of(short(number, cap=250), [0, 1])
    assert [(o.trial, o.solved, o.sequences, o.stages) for o in outcomes] == [(0, False, 250, []), (1, False, 250, [])]


@native
def test_a_trial_does_not_depend_on_its_neighbours():
    alone, among = of(short("3a-1"), [1]), of(short("3a-1"), [0, 1, 2])
    assert alike(alone) == alike([outcome for outcome in among if outcome.trial == 1])


@native
def test_rows_of_one_rule_take_each_others_places_and_end_as_alone():
    rows = [short("4-1", cap=2300), short("4-2", cap=100)]
    assert rows[0].rule == rows[1].rule != short("5-1").rule
    together = {row.key: [] for row in rows}
    work = [(row, number) for number in range(10) for row in rows]  # twenty, in sixteen places
    trials.run_trials(work, 0, lambda row, outcome: together[row.key].append(outcome))
    for row in rows:
        found = sorted(together[row.key], key=lambda outcome: outcome.trial)
        assert alike(found) == alike(of(row, range(10)))


def test_the_longest_rows_come_first_and_those_of_one_rule_together(tmp_path):
    rows = [made(number)[1] for number in ("4-1", "6a", "4-2")]
    kept = FinishedTrials(tmp_path / "kept.jsonl", seed=0)
    kept.add(rows[0], Outcome(0, True, 1, [1]))
    found = group_by_rule(rows, {row.key: 2 for row in rows}, kept)
    keys = [[(row.key, number) for row, number in group] for group in found]
    assert keys == [[("4-2", 0), ("4-2", 1), ("4-1", 1)], [("6a", 0), ("6a", 1)]]


@native
def test_experiment_6a_succeeds_and_is_told(tmp_path, capsys):
    files = ["--json", str(tmp_path / "rows.json"), "--markdown", str(tmp_path / "report.md"), "--plot"]
    assert cli.run(["reproduce", "--row", "6a", "--trials", "2", "--out", str(tmp_path), *files]) == 0
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    names = {"mean_sequences", "sd_sequences", "wrong_of_2560", "paper", "verdict", "seconds"}
    assert names < set(row)
    assert (row["experiment"], row["row"], row["reading"], row["trials"]) == ("temporal-order", "6a", "literal", 2)
    assert row["solved"] == 2
    assert row["wrong_of_2560"] <= 10
    assert row["paper"]["mean_sequences"] == 31_390
    assert (tmp_path / "6a.png").read_bytes().startswith(b"\x89PNG")
    assert "## Experiment 6" in (tmp_path / "report.md").read_text()
    assert "reproduced" in capsys.readouterr().out
    assert not (tmp_path / "trials.jsonl").exists()
