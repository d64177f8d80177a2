"""What `carrousel reproduce` tells: the promised JSON, verdicts that say what they mean, tables for 80 columns."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from carrousel import cli
from carrousel.papers.harness import trials
from carrousel.papers.harness.report import report, table, verdict_lines
from carrousel.papers.harness.trials import Outcome
from carrousel.papers.lstm1997.experiments import ALL

KEYS = ["experiment", "row", "method", "reading", "description", "trials", "solved", "mean_sequences", "sd_sequences"]
KEYS += ["wrong_of_2560", "paper", "verdict", "seconds"]
ROWS = [(experiment, row) for experiment in ALL.values() for row in (*experiment.rows, *experiment.variants)]
OF_4_1 = next((experiment, row) for experiment, row in ROWS if row.key == "4-1")


def outcomes(*sequences, wrong=1):
    """Successes after so many sequences; None: a failure."""
    made = enumerate(sequences)
    return [Outcome(k, n is not None, n or 370_000, [n] if n else [], wrong=n and wrong) for k, n in made]


@pytest.fixture
def made(monkeypatch):
    """Trials are made up: two of three succeed."""

    def run(work, seed, done, halted=None, threads=1):
        made = outcomes(60_000, 80_000, None)
        for row, number in work:
            done(row, made[number])

    monkeypatch.setattr(trials, "run_trials", run)


def test_json_has_the_promised_keys_and_no_others(made, tmp_path, capsys):
    asked = ["reproduce", "--row", "4-1", "--row", "2a", "--trials", "3", "--no-plot", "--out", str(tmp_path)]
    assert cli.run([*asked, "--json", str(tmp_path / "rows.json")]) == 0
    assert "A row is reproduced if" in capsys.readouterr().out
    assert cli.run([*asked, "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows == json.loads((tmp_path / "rows.json").read_text())
    assert [list(row) for row in rows] == [KEYS] * 2
    assert [row["row"] for row in rows] == ["2a", "4-1"]  # the paper's order
    assert (rows[1]["solved"], rows[1]["mean_sequences"], rows[1]["wrong_of_2560"]) == (2, 70_000, 1)
    assert rows[1]["sd_sequences"] == pytest.approx(14142.1, abs=0.1)
    assert rows[0]["paper"]["mean_sequences"] == 5_040


def test_markdown_to_stdout_is_all_that_stands_there(made, tmp_path, capsys):
    asked = ["reproduce", "--row", "4-1", "--trials", "3", "--no-plot", "--out", str(tmp_path), "--markdown", "-"]
    assert cli.run(asked) == 0
    assert capsys.readouterr().out.startswith("# The 1997 paper, run again")


@pytest.mark.parametrize("both", ["-", "report"])
def test_json_and_markdown_do_not_go_to_one_place(made, tmp_path, capsys, monkeypatch, both):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["reproduce", "--row", "4-1", "--out", str(tmp_path), "--json", both, "--markdown", both]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert f"--json and --markdown both write {both}" in told.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("made_up", "says"),
    [
        (outcomes(*[74_000] * 10), "reproduced"),
        (outcomes(*[148_000] * 10), "reproduced"),  # a factor of two
        (outcomes(*[149_000] * 10), "missed: 2.01 times the paper's sequences"),
        (outcomes(*[36_000] * 10), "missed: 0.49 times the paper's sequences"),
        (outcomes(*[74_000] * 10, wrong=0), "reproduced, and better: 0.0 wrong, paper 1"),
        (outcomes(*[74_000] * 10, wrong=4), "missed: 4.0 wrong, paper 1 (p = "),
        (outcomes(*[74_000] * 10, wrong=900), "missed: 900.0 wrong, paper 1 (p < 1e-6)"),
        (outcomes(*[74_000] * 7, *[None] * 3), "reproduced"),  # 7 of 10 and 10 of 10: p = 0.21
        (outcomes(*[74_000] * 5, *[None] * 5), "missed: solved 5 of 10, paper 10 of 10 (p = 0.033)"),
        (outcomes(None), "missed: solved 0 of 1, paper 10 of 10 (p = 0.091)"),  # never by chance
    ],
    ids=str,
)
def test_verdicts(made_up, says):
    verdict = report(*OF_4_1, made_up, 1.0)["verdict"]
    assert verdict == says if says == "reproduced" else verdict.startswith(says)


@pytest.mark.parametrize("experiment", ALL.values(), ids=ALL)
def test_tables_and_verdicts_fit_a_terminal_of_80_columns(experiment):
    rows = [row for of, row in ROWS if of is experiment]
    facts = [report(experiment, row, outcomes(1_234_567, 2_345_678, wrong=1007), 1234.5) for row in rows]
    screen = io.StringIO()
    console = Console(file=screen, width=80)
    console.print(table(experiment, facts))
    console.print(verdict_lines(facts))
    text = screen.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    whole = ["setting,", "reading", "until success", "wrong of", "1,790,122 ± 785,674", "1234.5"]
    assert all(word in text for word in (*whole, *(row.number for row in rows)))
    assert "…" not in text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["addding"], "did you mean adding?"),
        (["Temporal_Order"], "did you mean temporal-order?"),
        (["order"], "did you mean temporal-order?"),
        (["long-lag"], "did you mean long-lag-noise-free or long-lag-random or very-long-lag?"),
        (["6a"], "6a is a row: --row 6a"),
        (["2c"], "2c is a row: --row 2c"),
        (["--row", "9-9"], "--row 9-9 does not exist here; use 1-1, 1-2"),
        (["adding", "--row", "6a"], "--row 6a does not exist here; use 4-1"),
    ],
    ids=str,
)
def test_what_was_meant_is_told(typed, meant, capsys):
    assert cli.run(["reproduce", *typed]) == 2
    error = capsys.readouterr().err
    assert meant in error
    assert len(error.splitlines()) == 1
