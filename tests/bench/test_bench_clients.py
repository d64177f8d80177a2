"""bench/clients.py on a client that is always installed: a row, and what is left out."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from models import EncoderDecoder, I

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTATION = ROOT / "docs" / "clients.md"
MODELS = {path.stem.removeprefix("with_") for path in (ROOT / "bench" / "client_models").glob("with_*.py")}


@pytest.fixture
def clients():
    """The script as a module."""
    return importlib.import_module("bench.clients")


@pytest.fixture
def made_up(monkeypatch, clients):
    """A client by the name of a package that the tests have: pip knows its version."""

    def client(make):
        module = ModuleType("bench.client_models.with_pytest")
        module.make = make
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return client


def trained(clients, swap):
    model, x = EncoderDecoder(), torch.randn(3, 5, I)
    swap(model)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)

    def fit():
        optimiser.zero_grad()
        (loss := model(x).square().mean()).backward()
        optimiser.step()
        return loss.item()

    return clients.Measured("two LSTMs", "a step", lambda: model.eval()(x), fit)


def test_a_client_is_measured_before_and_after(clients, made_up):
    made_up(lambda swap: trained(clients, swap))
    row = clients.measure("pytest", seconds=0, repeat=1)
    assert row[:4] == ("pytest", pytest.__version__, "two LSTMs", "a step")
    assert row.outputs < 1e-6
    assert row.loss < 1e-6
    assert row.torch_ms > 0
    assert row.ours_ms > 0
    assert len(row.cells()) == len(clients.HEADINGS)


def test_a_client_in_which_nothing_is_replaced_is_no_row(clients, made_up):
    made_up(lambda swap: trained(clients, lambda model: None))
    with pytest.raises(RuntimeError, match="pytest: no layer was replaced in two LSTMs"):
        clients.measure("pytest", seconds=0, repeat=1)


def test_clients_that_are_not_there_are_left_out_in_words(clients, made_up, monkeypatch, capsys):
    made_up(lambda swap: trained(clients, swap))
    monkeypatch.setattr(
        sys, "argv", ["clients.py", "nobody", "pytest", "--markdown", "--seconds", "0", "--repeat", "1"]
    )
    clients.main()
    told = capsys.readouterr()
    assert re.fullmatch(r"nobody is left out: No module named .*\n", told.err)
    heading, rule, row, blank, machine = told.out.splitlines()
    assert heading.count("|") == rule.count("|") == row.count("|")
    assert row.startswith(f"| pytest | {pytest.__version__} | two LSTMs | a step |")
    assert blank == ""
    assert f"torch {torch.__version__}, 1 thread." in machine


def test_every_client_has_a_file_and_a_row_in_the_documentation(clients):
    assert {client.replace("-", "_") for client in clients.CLIENTS} == MODELS
    text = DOCUMENTATION.read_text(encoding="utf-8")
    assert "python -m bench.clients --markdown" in text
    assert [client for client in clients.CLIENTS if f"| {client} |" not in text] == []
    assert f"pip install {' '.join(clients.CLIENTS)}" in text


def test_the_documentation_prints_what_a_swap_prints():
    code, printed = re.findall(r"^```(?:python)?\n(.*?)^```", DOCUMENTATION.read_text(encoding="utf-8"), re.S | re.M)[
        :2
    ]
    names: dict = {}
    exec(compile(code, str(DOCUMENTATION), "exec"), names)
    assert str(names["swapped"]) == printed.strip()
