"""`carrousel reproduce --list`: one line an experiment; with a name, its rows and its readings."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from carrousel import cli
from carrousel.papers.harness import listing
from carrousel.papers.lstm1997.experiments import ALL

EVERY = [(of, row) for of in ALL.values() for row in (*of.rows, *of.variants)]


def printed(show, chosen, width):
    """The lines of a listing in a terminal of so many columns."""
    screen = io.StringIO()
    show(chosen, Console(file=screen, width=width))
    return screen.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100])
def test_the_list_fits_and_has_one_line_an_experiment(width):
    lines = printed(listing.print_experiments, EVERY, width)
    assert max(map(len, lines)) <= 80
    for name, experiment in ALL.items():
        (line,) = [line for line in lines if line.split(" ")[0] == name]
        assert experiment.title.removeprefix("Experiment ") in line
        assert line.split()[-2:] == [str(len(experiment.rows)), str(len(experiment.readings))]


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("experiment", ALL.values(), ids=ALL)
def test_the_list_of_one_has_every_row_and_reading_and_fits(experiment, width):
    lines = printed(listing.print_rows_and_readings, [each for each in EVERY if each[0] is experiment], width)
    assert max(map(len, lines)) <= width
    for row in experiment.rows:
        (line,) = [line for line in lines if line.split(" ")[0].rstrip("*") == row.number]
        assert line.split()[-2:] == [str(row.paper.trials), f"{row.paper.sequences:,}"]
        assert row.setting in line
        assert ("*" in line) == row.long
    text = " ".join(" ".join(lines).split())
    for name, description in experiment.readings.items():
        assert f" {name}: {description}" in text or f"): {description}" in text.partition(f" {name} (")[2]


def test_rows_that_a_reading_has_are_listed_where_it_has_not_all():
    lines = listing.describe_readings([row for of, row in EVERY if of.name == "adding"])
    assert "linear-output: The output unit is linear, not logistic." in lines
    assert "rate-2 (4-1): The learning rate is 2.0." in lines


def test_the_command_prints_the_list_of_all_or_of_what_is_named(capsys):
    assert cli.run(["reproduce", "--list"]) == 0
    said = capsys.readouterr().out
    assert "long-lag-noise-free 2a: noise-free" in said
    assert "linear-output" not in said
    for named in (["adding"], ["--row", "4-1"], ["--reading", "linear-output"]):
        assert cli.run(["reproduce", "--list", *named]) == 0
        assert "linear-output" in capsys.readouterr().out


def test_the_list_as_json_has_each_row_in_each_reading(capsys, tmp_path):
    for typed, count in (["--list"], len(EVERY)), (["--list", "adding"], 16):
        assert cli.run(["reproduce", *typed, "--json", "-"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert len(rows) == count
        assert cli.run(["reproduce", *typed, "--json", str(tmp_path / "list.json")]) == 0
        assert json.loads((tmp_path / "list.json").read_text()) == rows
        assert capsys.readouterr().out != ""
    assert rows[3] == {
        "experiment": "adding",
        "title": "Experiment 4: adding problem",
        "row": "4-1",
        "setting": "T = 100",
        "method": "lstm",
        "reading": "linear-output",
        "description": "The output unit is linear, not logistic.",
        "trials": 10,
        "mean_sequences": 74_000,
        "long": False,
    }
