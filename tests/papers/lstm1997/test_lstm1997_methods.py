"""A method is one file: dropped into methods/, it is found and runs an experiment's row; no other file knows it."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import carrousel
from carrousel.papers.lstm1997.experiments import ALL
from carrousel.papers.lstm1997.methods import METHODS
from carrousel.papers.lstm1997.methods.lstm import LSTM

PACKAGE = Path(carrousel.__file__).parent
HARNESS = PACKAGE / "papers" / "harness"

CONSTANT = '''
"""The constant predictor: the mean of the targets so far, whatever it reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carrousel.papers.harness.method import MethodSettings
from carrousel.papers.harness.one_network import OneByOne


class Mean:
    def __init__(self, K):
        self.mean, self.seen = np.full(K, 0.5), 0

    def present(self, x, targets, at):
        outputs = np.tile(self.mean, (len(at), 1))
        for target in [] if targets is None else targets:
            self.seen += 1
            self.mean = self.mean + (target - self.mean) / self.seen
        return outputs


@dataclass(frozen=True)
class Constant(MethodSettings):
    name = "constant"

    outputs: int

    def start(self, places, threads):
        return OneByOne(lambda rng: Mean(self.outputs), self.outputs, places)


ROWS = {"4-1": Constant(outputs=1), "6a": Constant(outputs=4)}
'''

# Runs in a copy of the package, and takes nothing from where it is installed.
USE = """
import importlib.machinery as machinery, sys
sys.meta_path[:] = [machinery.BuiltinImporter, machinery.FrozenImporter, machinery.PathFinder]
sys.path.insert(0, sys.argv[1])
import io, warnings
warnings.simplefilter("ignore")
from dataclasses import replace
import carrousel
from rich.console import Console
from carrousel.papers.harness import document, trials
from carrousel.papers.harness.choice import choose
from carrousel.papers.harness.report import report, table, verdict_lines
from carrousel.papers.lstm1997.experiments import ALL
from carrousel.papers.lstm1997.methods import METHODS
assert carrousel.__file__.startswith(sys.argv[1]), carrousel.__file__
assert list(METHODS) == ["constant", "lstm"]
chosen = choose(ALL, [], ["4-1"], None, False, method="constant")
(of, row), = chosen
assert (of.name, row.key, row.cap) == ("adding", "4-1 constant", 370_000)
outcomes = []
trials.run_trials([(replace(row, until=300), k) for k in range(2)], 0, lambda row, outcome: outcomes.append(outcome))
assert [(o.solved, o.sequences) for o in outcomes] == [(False, 300)] * 2
assert 0.1 < outcomes[0].curve[-1][1] < 0.3  # E|X1 + X2| / 4 is 1/6
assert outcomes[0].curve != outcomes[1].curve  # its own sequences
facts = report(of, row, outcomes, 1.0)
assert (facts["method"], facts["verdict"], facts["paper"]) == ("constant", "not in the paper", None)
console = Console(file=io.StringIO(), width=80)
console.print(table(of, [facts]))
console.print(verdict_lines([facts]))
assert "4-1 constant: not in the paper" in console.file.getvalue()
assert "| 4-1 | T = 100 | constant | 0/2 / - |" in document.markdown("", ALL.values(), [facts], 0)
"""


def test_adding_a_method_touches_one_file(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "carrousel", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (tmp_path / "carrousel" / "papers" / "lstm1997" / "methods" / "constant.py").write_text(CONSTANT)
    subprocess.run([sys.executable, "-c", USE, str(tmp_path)], check=True, cwd=tmp_path)


def test_the_lstm_is_found_and_is_the_method_of_every_row():
    assert METHODS["lstm"] is LSTM
    assert {type(row.method) for experiment in ALL.values() for row in (*experiment.rows, *experiment.variants)} == {
        LSTM
    }


def test_the_harness_knows_no_paper_and_no_method():
    for file in HARNESS.glob("*.py"):
        imports = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
        found = [node.module or "" for node in imports if "lstm1997" in (node.module or "")]
        assert found == [], file.name
