"""Hochreiter & Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997: network, rule, experiments.

network.py       the network as the paper describes it, and its weights
reference.py     network and rule in plain float64, equation by equation; plain.py: the same for a Learner
trainer.py       many trials, natively; checks.py: what the native side may rely on
learner.py       one network that learns online, from a stream
exclusive.py     what two threads must not use at once
construction.py  memory cells that come once the error stops falling

experiments/     data, network, rate, criterion and test of each, as rows; row.py: what a row is
readings.py      short names for what a row changes of the paper's letter, and what they mean
sequences.py     a block of sequences; streams.py: where chance comes from
criteria.py      when a trial has succeeded
trials.py        trials of rows, until success or the cap
tables.py        the paper's figures
reproduce/       `carrousel reproduce`: the paper's tables, ours beside theirs
"""

from carrousel.papers.lstm1997.learner import Learner
from carrousel.papers.lstm1997.network import Network

__all__ = ["Learner", "Network"]
