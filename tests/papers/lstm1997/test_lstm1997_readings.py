"""Readings of the 1997 paper: short names that mean the same everywhere, and that `--reading` takes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from carrousel import cli
from carrousel.errors import UserError
from carrousel.papers.lstm1997.experiments import ALL
from carrousel.papers.lstm1997.readings import AS_PRINTED, CHANGES, LITERAL
from carrousel.papers.lstm1997.reproduce import document
from carrousel.papers.lstm1997.reproduce.choice import choose, nearest
from carrousel.papers.lstm1997.reproduce.work import Kept
from carrousel.papers.lstm1997.row import change
from carrousel.papers.lstm1997.trials import Outcome

DOCUMENT = Path(__file__).parents[3] / "docs" / "reproduction.md"
LONGEST = 36  # characters of a name
ROWS = {row.key: row for experiment in ALL.values() for row in (*experiment.rows, *experiment.variants)}
READINGS = [(of.name, reading) for of in ALL.values() for reading in of.readings]
every_experiment = pytest.mark.parametrize("experiment", ALL.values(), ids=ALL)
every_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
every_reading = pytest.mark.parametrize(("experiment", "reading"), READINGS, ids=[" ".join(pair) for pair in READINGS])


def gates_begin_at(bias):
    return lambda row, of: set(row.network.input_gate_bias or ()) == {bias}


MADE_BY = {  # change: whether a row has it, seen in the fields that it is run with; `of` is the literal reading
    "outputs-see-inputs": lambda row, of: row.network.connectivity == "FB" and row.network.biased == of.network.biased,
    "biased-outputs": lambda row, of: (
        (of.network.connectivity, of.network.biased, row.network.biased)
        == (row.network.connectivity, "gates", "gates and outputs")
    ),
    "direct": lambda row, of: (row.network.connectivity, row.network.biased) == ("FB", "gates and outputs"),
    "linear-output": lambda row, of: row.network.output == "linear",
    "input-only-cells": lambda row, of: not row.network.recurrent_cells,
    "unbiased": lambda row, of: (of.network.biased, row.network.biased) == ("all", "gates and outputs"),
    "cell-from-start": lambda row, of: of.grows and not row.grows,
    "small-weights": lambda row, of: (
        (of.network.weight_range, row.network.weight_range) == (0.2, 0.1) and not gates_begin_at(-2)(row, of)
    ),
    "small-input-gates": gates_begin_at(-1),
    "slow-fill": lambda row, of: gates_begin_at(-2)(row, of) and row.network.weight_range == 0.1,
    "shut-new-gate": lambda row, of: row.opening == -3,
    "step-updates": lambda row, of: row.update == "step",
    "error-at-end": lambda row, of: row.source is not of.source,
    "no-slope": lambda row, of: (row.error, row.rate) == ("entropy", of.rate),
    "steep": lambda row, of: (row.error, row.rate) == ("entropy", of.rate / 4),
    "rate-2": lambda row, of: row.rate == 2.0 != of.rate,
    "squared-criterion": lambda row, of: row.criterion.stop is not None and row.criterion.stop.measure == "squared",
    "fixed-test-set": lambda row, of: getattr(row.criterion, "fixed", False),
    "judged-100": lambda row, of: row.criterion.stop is not None and row.criterion.stop.every == 100,
    "judged-1000": lambda row, of: row.criterion.stop is not None and row.criterion.stop.every == 1000,
    "judged-10000": lambda row, of: row.criterion.stop is not None and row.criterion.stop.every == 10_000,
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
    literal = replace(ROWS[row.number], changes=())
    assert {name for name, is_made in MADE_BY.items() if is_made(row, literal)} == set(row.changes)


def test_every_change_is_used_and_described_once():
    assert set(MADE_BY) == set(CHANGES) == {name for row in ROWS.values() for name in row.changes}
    assert len(set(CHANGES.values())) == len(CHANGES)
    with pytest.raises(ValueError, match="loose"):
        _ = change(ROWS["4-1"], "loose").reading


def test_changes_are_joined_in_one_order():
    row = change(change(ROWS["4-1"], "judged-1000"), "linear-output")
    assert row.reading == "linear-output-judged-1000"
    assert row.description == (
        "The output unit is linear, not logistic; the criterion is judged every 1000 sequences, not after each one."
    )


@every_experiment
def test_the_text_on_an_experiment_names_its_readings_only(experiment):
    assert set(re.findall(r"`([^`]*)`", experiment.explained)) <= set(experiment.readings)


# ---- --reading ------------------------------------------------------------------------------------------------------


@every_reading
def test_every_reading_can_be_chosen(experiment, reading):
    chosen = choose([experiment], [], reading, everything=True)
    assert {row.reading for _, row in chosen} == {reading}
    for of, row in chosen:
        assert (of.name, choose([], [row.number], reading, everything=False)) == (experiment, [(of, row)])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("linear", "did you mean linear-output?"),
        ("linear output", "did you mean linear-output?"),
        ("Linear_Output", "did you mean linear-output?"),
        ("lineer-output", "did you mean linear-output?"),
        ("litteral", "did you mean literal?"),
        ("judged", "did you mean linear-output-judged-1000 or linear-output-unbiased-judged-1000?"),
    ],
)
def test_a_wrong_reading_is_refused_with_the_nearest(typed, meant, capsys):
    assert cli.run(["reproduce", "adding", "--reading", typed]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"carrousel: --reading {typed!r} is not a reading of these rows; there are all, literal, ")
    assert line.endswith(meant)


def test_nothing_is_near_to_what_is_like_nothing():
    assert nearest("xyzzy", ALL["adding"].readings) == ""


def test_a_reading_of_long_rows_says_how_it_is_run():
    with pytest.raises(UserError, match=r"'ten-million' has only rows that take minutes \(3b-3\): add --all, or name"):
        choose(["two-sequence"], [], "ten-million", everything=False)


# ---- files ----------------------------------------------------------------------------------------------------------


def test_trials_kept_under_a_long_name_are_not_taken_for_another_readings(tmp_path):
    path = tmp_path / "trials.jsonl"
    kept = Kept(path, 0)
    kept.add(ROWS["6a steep"], Outcome(0, True, 100, [100]))
    path.write_text(path.read_text().replace("6a steep", "6a f' taken as 1/4"))
    again = Kept(path, 0)
    assert [again.of(row, 9) for row in ROWS.values() if again.of(row, 9)] == []


def test_the_document_in_docs_has_these_rows_readings_and_descriptions():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.startswith(document.OPENING)
    for experiment in ALL.values():
        (section,) = re.findall(rf"(?ms)^## {re.escape(experiment.title)}\n(.*?)(?=^## |^Literal readings)", text)
        rows = re.findall(r"(?m)^\| (\d\S*) \| (.*?) \| (.*?) \| ", section)
        expected = (*experiment.rows, *experiment.variants)
        assert rows == [(row.number, row.setting, row.reading) for row in expected]
        assert re.findall(r"(?m)^\* `(.*?)`: (.*)$", section) == list(experiment.readings.items())
        assert experiment.explained in section
