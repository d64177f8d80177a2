"""`python -m bench scaling`: exponents of made-up figures, the memory of processes, and the page of tiny sizes."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from measurements import bench

from bench import __main__
from bench.rivals.lstm1997_torch import TorchOperations
from bench.scaling import endless, measure
from bench.scaling.growth import UNKNOWN, EndlessGrowth, Growth, name_exponent
from bench.scaling.page import SECTIONS, write_page
from bench.scaling.picture import draw
from carrousel.cli import run
from carrousel.errors import UserError
from carrousel.online import Learner
from carrousel.online.lstm1997.network import SplitWeights

DOCS = Path(__file__).resolve().parents[2] / "docs"
PLACES = (1, 2, 4, 8, 16, 32)
TINY = measure.Plan(
    I=2, H=4, B=2, T=3, Ts=(2, 4, 8), Bs=(1, 2), Hs=(2, 4), H_of_threads=4, Ts_of_training=(64, 2048), steps=(200, 900)
)


# ---- exponents ------------------------------------------------------------------------------------------------------


def grow(figures, places=PLACES, kind=Growth):
    return kind("T", "ms", places, {"ours": list(figures)})


@pytest.mark.parametrize(
    ("cost", "verdict"),
    [
        (lambda T: 3 * T, "1.00, linear"),
        (lambda T: 0.5 * T**2, "2.00, quadratic"),
        (lambda T: 7, "0.00, constant"),
        (lambda T: 100 / T, "-1.00, inverse"),
        (lambda T: T**1.5, "1.50, between linear and quadratic"),
        (lambda T: T**0.5, "0.50, between constant and linear"),
        (lambda T: T**-0.5, "-0.50, between inverse and constant"),
        (lambda T: T**3, "3.00, more than quadratic"),
        (lambda T: T**-2, "-2.00, more than inverse"),
        (lambda T: max(T, 8), "1.00, linear"),  # the smaller half does not count
        (lambda T: 0, UNKNOWN),
    ],
)
def test_a_verdict_is_that_of_the_power(cost, verdict):
    growth = grow(cost(T) for T in PLACES)
    assert growth.verdict("ours") == verdict
    assert growth.table().endswith(f"| exponent | {verdict} |")


def test_linear_is_what_is_near_one():
    assert [name_exponent(exponent) for exponent in (0.91, 1, 1.09)] == ["linear"] * 3
    assert "linear" not in (name_exponent(0.89), name_exponent(1.11))


def test_two_places_have_an_exponent_and_one_has_none():
    assert grow([4, 2], (1, 2)).exponent("ours") == pytest.approx(-1)
    assert math.isnan(grow([4], (1,)).exponent("ours"))


def test_memory_that_stays_is_constant_and_a_number_a_step_is_not():
    steps = (1000, 4000, 16_000, 64_000)
    assert grow([0.1, 0.3, 0.3, 0.3], steps, EndlessGrowth).verdict("ours") == "0, constant"
    assert grow([count * 1000 / 2**20 for count in steps], steps, EndlessGrowth).verdict("ours") == "1,000, linear"
    assert grow([count * 4.01 / 2**20 for count in steps], steps, EndlessGrowth).verdict("ours") == "4.01, linear"


def test_a_table_has_a_row_a_place_and_a_column_a_side():
    table = Growth("T", "ms", (1, 1000), {"ours": [1, 1000], "torch.nn": [2, 4000]}).table()
    assert table.splitlines() == [
        "| T | ours, ms | torch.nn, ms |",
        "|--:|--:|--:|",
        "| 1 | 1 | 2 |",
        "| 1,000 | 1,000 | 4,000 |",
        "| exponent | 1.00, linear | 1.10, between linear and quadratic |",
    ]


@pytest.mark.parametrize("figures", [[1, 2, 4], [300, 200, 150], [0, 0, 0], [0, 0, 5]])
@pytest.mark.parametrize("kind", [Growth, EndlessGrowth])
def test_a_picture_is_the_same_file_for_the_same_figures(tmp_path, kind, figures):
    for name in ("first", "second"):
        draw(grow(figures, (1, 2, 4), kind), tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert (tmp_path / "first").stat().st_size > 5000


# ---- the sides ------------------------------------------------------------------------------------------------------


def test_autograd_through_all_steps_gives_the_change_of_the_online_learner():
    T, rng = 9, np.random.default_rng(0)
    x, target = rng.random((T, endless.NETWORK.inputs), np.float32), np.full(1, 0.9, np.float32)
    before = endless.NETWORK.initial_weights(0)
    learner = Learner(endless.NETWORK, endless.RATE, weights=before, update="sequence")
    for t in range(T):
        learner.learn_one(x[t], target if t == T - 1 else None)
    learner.reset()
    network = TorchOperations(endless.NETWORK, before, endless.RATE)
    loss = (torch.from_numpy(target) - network.output(torch.from_numpy(x))).square().sum() / 2
    gradient = endless.NETWORK.join(SplitWeights(*(part.numpy() for part in torch.autograd.grad(loss, network.parts))))
    assert np.abs(gradient).max() > 1e-3
    np.testing.assert_allclose(learner.weights - before, -endless.RATE * gradient, atol=1e-6)


@pytest.mark.slow
def test_the_learner_stays_as_large_as_it_is_and_autograd_through_all_steps_does_not():
    steps = (1000, 5000)
    ours, one_back, all_back = (endless.measure_in_process("online", who, steps) for who in endless.SIDES["online"])
    assert all(abs(after - before) < 2 for before, after in (ours, one_back))  # MB
    assert all_back[1] - all_back[0] > 20


@pytest.mark.slow
def test_a_process_that_fails_is_an_error_that_says_why():
    with pytest.raises(UserError, match=r"^stream, nobody ended with exit code 1 \(KeyError: 'nobody'\): free"):
        endless.measure_in_process("stream", "nobody", (200, 900))


# ---- the page -------------------------------------------------------------------------------------------------------


def headings(page):
    return re.findall(r"^## (.+)$", page, re.MULTILINE)


def pictures(page):
    return re.findall(r"^!\[.+\]\((.+)\)$", page, re.MULTILINE)


def test_the_page_has_all_sections_their_pictures_and_verdicts(tmp_path):
    linear, quadratic = [3.0, 6.0, 12.0], [5.0, 20.0, 80.0]
    sides = {"carrousel": linear, "torch.nn": quadratic}
    found = {name: Growth(name, "ms", (2, 4, 8), sides) for name in ("T", "B", "H", "threads", "training")}
    found |= {name: EndlessGrowth("steps", "MB", (200, 400, 800), sides) for name in ("stream", "online")}
    file = write_page(TINY, found, tmp_path, "python -m bench scaling --seconds 9 --repeat 9")
    page = file.read_text(encoding="utf-8")
    assert file == tmp_path / "scaling.md"
    assert headings(page) == [title for title, _ in SECTIONS.values()]
    assert len(pictures(page)) == len(SECTIONS)
    assert all((tmp_path / name).read_text(encoding="utf-8").startswith("<?xml") for name in pictures(page))
    assert "`python -m bench scaling --seconds 9 --repeat 9`" in page
    assert "\n* Time against T (exponent): carrousel 1.00, linear; torch.nn 2.00, quadratic.\n" in page
    assert "T 8 takes 4 times as long as T 2, with `torch.nn` 16 times." in page.replace("\n", " ")
    assert page.count("| exponent | 1.00, linear | 2.00, quadratic |") == 5
    assert page.count("| bytes a step | 15,729, linear | 157,286, quadratic |") == 2
    assert all(len(line) <= 120 or line.startswith("|") for line in page.splitlines())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder that the command has written for tiny sizes and two threads, with its JSON."""
    folder, threads = tmp_path_factory.mktemp("scaling"), torch.get_num_threads()
    torch.set_num_threads(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "PLAN", TINY)
        words = ["scaling", "--seconds", "0", "--repeat", "1", "--out", str(folder), "--json", str(folder / "json")]
        assert run(words, __main__.app, __main__.PROGRAM) == 0
    torch.set_num_threads(threads)
    return folder


@pytest.mark.slow
def test_the_command_writes_what_was_measured(written):
    page = (written / "scaling.md").read_text(encoding="utf-8")
    assert headings(page) == [title for title, _ in SECTIONS.values()]
    assert "on 2 threads, at I 2, H 4, B 2, T 3" in page
    assert "At I2-H4-B2-T3. 2 threads are " in page
    found = json.loads((written / "json").read_text(encoding="utf-8"))
    assert list(found) == list(SECTIONS)
    assert [each.pop("places") for each in found.values()] == [
        [2, 4, 8], [1, 2], [2, 4], [1, 2], [64, 2048], [200, 900], [200, 900],
    ]  # fmt: skip
    for each in found.values():
        verdicts = each.pop("bytes a step" if each["axis"] == "steps" else "exponent")
        sides = {who: figures for who, figures in each.items() if who not in ("axis", "unit")}
        assert list(verdicts) == list(sides)
        assert all(math.isfinite(figure) for figures in sides.values() for figure in figures)
        assert f"| {each['axis']} | " + " | ".join(f"{who}, {each['unit']}" for who in sides) + " |" in page
        assert " | ".join(verdicts.values()) in page
    assert all(figures[1] > figures[0] for who, figures in found["training"].items() if who not in ("axis", "unit"))


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_reported_at_once(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    words = ["scaling", "--out", str(tmp_path / "file")]
    assert run(words, __main__.app, __main__.PROGRAM) == 2
    printed = capsys.readouterr().err
    assert "--out" in printed
    assert "measuring" not in printed


def test_the_command_has_help(capsys):
    printed = bench(capsys, "scaling", "--help")
    assert all(option in printed for option in ("--seconds", "--repeat", "--out", "--json"))


def test_the_page_of_the_documentation_is_one_that_the_command_writes():
    page = (DOCS / "scaling.md").read_text(encoding="utf-8")
    assert headings(page) == [title for title, _ in SECTIONS.values()]
    assert len(pictures(page)) == len(SECTIONS)
    assert all((DOCS / name).exists() for name in pictures(page))
    assert page.startswith("# How cost grows\n\nWritten by `python -m bench scaling")
