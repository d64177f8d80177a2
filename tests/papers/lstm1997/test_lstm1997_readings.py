"""Readings of the 1997 paper: short names that mean the same everywhere, and that `--reading` takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from carrousel import cli
from carrousel.errors import UserError
from carrousel.papers.harness.choice import choose, nearest
from carrousel.papers.harness.finished_trials import FinishedTrials
from carrousel.papers.harness.readings import AS_PRINTED, LITERAL
from carrousel.papers.harness.trials import Outcome
from carrousel.papers.lstm1997.document_opening import OPENING
from carrousel.papers.lstm1997.experiments import ALL
from carrousel.papers.lstm1997.readings import CHANGES, change

DOCUMENT = Path(__file__).parents[3] / "docs" / "reproduction.md"
LONGEST = 30  # characters of a name
ROWS = {row.key: row for experiment in ALL.values() for row in (*experiment.rows, *experiment.variants)}
READINGS = [(of.name, reading) for of in ALL.values() for reading in of.readings]
every_experiment = pytest.mark.parametrize("experiment", ALL.values(), ids=ALL)
every_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
every_reading = pytest.mark.parametrize(("experiment", "reading"), READINGS, ids=[" ".join(pair) for pair in READINGS])


def gates_begin_at(bias):
    return lambda row, of: set(row.method.network.input_gate_bias or ()) == {bias}


MADE_BY = {  # change: whether a row has it, seen in the fields that it is run with; `of` is the literal reading
    "outputs-see-inputs": lambda row, of: (
        row.method.network.connectivity == "FB" and row.method.network.biased == of.method.network.biased
    ),
    "biased-outputs": lambda row, of: (
        (of.method.network.connectivity, of.method.network.biased, row.method.network.biased)
        == (row.method.network.connectivity, "gates", "gates and outputs")
    ),
    "skip": lambda row, of: (row.method.network.connectivity, row.method.network.biased) == ("FB", "gates and outputs"),
    "linear-output": lambda row, of: row.method.network.output == "linear",
    "input-only-cells": lambda row, of: not row.method.network.recurrent_cells,
    "no-bias": lambda row, of: (of.method.network.biased, row.method.network.biased) == ("all", "gates and outputs"),
    "cell-from-start": lambda row, of: of.method.grows and not row.method.grows,
    "small-weights": lambda row, of: (
        (of.method.network.weight_range, row.method.network.weight_range) == (0.2, 0.1)
        and not gates_begin_at(-2)(row, of)
    ),
    "small-input-gates": gates_begin_at(-1),
    "slow-fill": lambda row, of: gates_begin_at(-2)(row, of) and row.method.network.weight_range == 0.1,
    "shut-new-gate": lambda row, of: row.method.opening == -3,
    "stepwise": lambda row, of: row.method.update == "step",
    "error-at-end": lambda row, of: row.source is not of.source,
    "no-slope": lambda row, of: (row.method.error, row.method.rate) == ("entropy", of.method.rate),
    "steep": lambda row, of: (row.method.error, row.method.rate) == ("entropy", of.method.rate / 4),
    "rate-2": lambda row, of: row.method.rate == 2.0 != of.method.rate,
    "squared-criterion": lambda row, of: row.criterion.stop is not None and row.criterion.stop.measure == "squared",
    "fixed-test-set": lambda row, of: getattr(row.criterion, "fixed", False),
    "every-100": lambda row, of: row.criterion.stop is not None and row.criterion.stop.every == 100,
    "every-1k": lambda row, of: row.criterion.stop is not None and row.criterion.stop.every == 1000,
    "every-10k": lambda row, of: row.criterion.stop is not None and row.criterion.stop.every == 10_000,
    "five-million": lambda row, of: row.until == 5_000_000,
    "ten-million": lambda row, of: row.until == 10_000_000,
}


# ---- names and descriptions -----------------------------------------------------------------------------------------


@every_row
def test_names_can_be_typed_and_have_a_description(row):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row.reading)
    assert len(row.reading) <= LONGEST
    assert re.fullmatch(r"[A-Z].*[^.]\.", row.description)
    assert (row.reading == LITERAL) == (row.description == AS_PRINTED) == (not row.changes)


@every_experiment
def test_a_row_has_each_reading_once(experiment):
    keys = [row.key for row in (*experiment.rows, *experiment.variants)]
    assert len(set(keys)) == len(keys)
    descriptions = [row.description for row in (*experiment.rows, *experiment.variants)]
    assert len(set(descriptions)) == len(experiment.readings)
    assert next(iter(experiment.readings)) == LITERAL


@every_row
def test_a_change_has_one_name_everywhere(row):
    literal = ROWS[row.number]
    assert {name for name, is_made in MADE_BY.items() if is_made(row, literal)} == {
        change.name for change in row.changes
    }


def test_every_change_is_used_and_described_once():
    assert set(MADE_BY) == set(CHANGES) == {change.name for row in ROWS.values() for change in row.changes}
    assert len({change.description for change in CHANGES.values()}) == len(CHANGES)
    with pytest.raises(ValueError, match="loose"):
        change(ROWS["4-1"], "loose")


def test_changes_are_joined_in_one_order():
    row = change(change(ROWS["4-1"], "every-1k"), "linear-output")
    assert row.reading == "linear-output-every-1k"
    assert row.description == (
        "The output unit is linear, not logistic; the criterion is judged every 1000 sequences, not after each one."
    )


@every_experiment
def test_the_text_on_an_experiment_names_its_readings_only(experiment):
    assert set(re.findall(r"`([^`]*)`", experiment.explained)) <= set(experiment.readings)


# ---- --reading ------------------------------------------------------------------------------------------------------


@every_reading
def test_every_reading_can_be_chosen(experiment, reading):
    chosen = choose(ALL, [experiment], [], reading, everything=True)
    assert {row.reading for _, row in chosen} == {reading}
    for of, row in chosen:
        assert (of.name, choose(ALL, [], [row.number], reading, everything=False)) == (experiment, [(of, row)])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("linear", "did you mean linear-output?"),
        ("linear output", "did you mean linear-output?"),
        ("Linear_Output", "did you mean linear-output?"),
        ("lineer-output", "did you mean linear-output?"),
        ("litteral", "did you mean literal?"),
        ("every", "did you mean linear-output-every-1k or linear-output-no-bias-every-1k?"),
    ],
)
def test_a_wrong_reading_is_refused_with_the_nearest(typed, meant, capsys):
    assert cli.run(["reproduce", "adding", "--reading", typed]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"carrousel: --reading {typed!r} is not a reading of these rows; use all, literal, ")
    assert line.endswith(meant)


def test_nothing_is_near_to_what_is_like_nothing():
    assert nearest("xyzzy", ALL["adding"].readings) == ""


def test_a_reading_of_long_rows_says_how_it_is_run():
    with pytest.raises(UserError, match=r"'ten-million' has only rows that take minutes \(3b-3\): add --all, or name"):
        choose(ALL, ["two-sequence"], [], "ten-million", everything=False)


# ---- files ----------------------------------------------------------------------------------------------------------


def test_trials_kept_under_a_long_name_are_not_taken_for_another_readings(tmp_path):
    path = tmp_path / "trials.jsonl"
    kept = FinishedTrials(path, 0)
    kept.add(ROWS["6a steep"], Outcome(0, True, 100, [100]))
    path.write_text(path.read_text().replace("6a steep", "6a f' taken as 1/4"))
    again = FinishedTrials(path, 0)
    assert [again.of(row, 9) for row in ROWS.values() if again.of(row, 9)] == []


def test_the_document_in_docs_has_these_rows_readings_and_descriptions():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.startswith(OPENING)
    for experiment in ALL.values():
        (section,) = re.findall(rf"(?ms)^## {re.escape(experiment.title)}\n(.*?)(?=^## |^Literal readings)", text)
        rows = re.findall(r"(?m)^\| (\d\S*) \| (.*?) \| (.*?) \| ", section)
        expected = (*experiment.rows, *experiment.variants)
        assert rows == [(row.number, row.setting, row.reading) for row in expected]
        assert re.findall(r"(?m)^\* `(.*?)`: (.*)$", section) == list(experiment.readings.items())
        assert experiment.explained in section
