"""The pictures of `carrousel reproduce`: a name of its own for each, and nothing in them that did not happen."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.figure
import pytest

from carrousel import cli
from carrousel.papers.harness import trials
from carrousel.papers.harness.plots import draw, file_name
from carrousel.papers.harness.trials import Outcome
from carrousel.papers.lstm1997.experiments import ALL

ROWS = [(experiment, row) for experiment in ALL.values() for row in (*experiment.rows, *experiment.variants)]
FAILED = Outcome(0, False, 400, [], curve=[[200, 0.5], [400, 0.4]])
SOLVED = Outcome(1, True, 300, [300], wrong=0, curve=[[200, 0.5], [300, 0.1]])


def drawn(tmp_path, monkeypatch, of, row, outcomes):
    """The figure that a picture was made of."""
    figures = []
    save = matplotlib.figure.Figure.savefig
    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", lambda f, *a, **k: (figures.append(f), save(f, *a, **k)))
    draw(of, row, outcomes, 0, tmp_path / file_name(row))
    return figures[0]


def test_every_picture_has_a_file_of_its_own_in_the_folder():
    names = [file_name(row) for _, row in ROWS]
    assert len({name.lower() for name in names}) == len(names)  # also where case makes no difference
    assert all(Path(name).name == name and name.isprintable() and " " not in name for name in names)
    assert {"6a.png", "4-1-linear-output.png", "6a-steep.png"} <= set(names)


def test_a_reading_is_drawn_into_a_file_of_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(
        trials, "run_trials", lambda work, seed, done, *rest, **more: [done(row, SOLVED) for row, _ in work]
    )
    asked = ["reproduce", "--row", "6a", "--reading", "steep", "--trials", "2", "--out", str(tmp_path)]
    assert cli.run([*asked, "--json", str(tmp_path / "rows.json")]) == 0
    assert (tmp_path / "6a-steep.png").read_bytes().startswith(b"\x89PNG")
    assert len(json.loads((tmp_path / "rows.json").read_text())) == 1


def test_what_cannot_be_drawn_costs_no_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(
        trials, "run_trials", lambda work, seed, done, *rest, **more: [done(row, SOLVED) for row, _ in work]
    )
    (tmp_path / "6a.png").mkdir()
    asked = ["reproduce", "--row", "6a", "--trials", "2", "--out", str(tmp_path)]
    assert cli.run([*asked, "--json", str(tmp_path / "rows.json")]) == 2
    assert len(json.loads((tmp_path / "rows.json").read_text())) == 1


@pytest.mark.parametrize("outcomes", [[FAILED], [SOLVED], [FAILED, SOLVED]], ids=["failed", "solved", "both"])
def test_the_legend_names_what_is_there(tmp_path, monkeypatch, outcomes):
    figure = drawn(tmp_path, monkeypatch, *ROWS[0], outcomes)
    told = " ".join(text.get_text() for text in figure.axes[0].get_legend().get_texts())
    assert ("until success" in told) == (SOLVED in outcomes)
    assert ("failed" in told) == (FAILED in outcomes)


@pytest.mark.parametrize("line", ["title", "row"])
def test_titles_fit_their_figures(tmp_path, monkeypatch, line):
    of, row = max(
        ROWS, key=lambda of_row: len(of_row[0].title if line == "title" else of_row[1].setting + of_row[1].key)
    )
    figure = drawn(tmp_path, monkeypatch, of, row, [SOLVED])
    assert figure.axes[0].get_title().startswith(f"{of.title}\nrow {row.number} ({row.setting})")
    box = figure.axes[0].title.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
