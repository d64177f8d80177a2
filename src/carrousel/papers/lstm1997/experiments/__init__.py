"""The paper's experiments in its order, one file each: data, criterion, test, and the LSTM's network and learning rate.

embedded_reber, long_lag_noise_free, long_lag_random, very_long_lag, two_sequence, adding, multiplication,
temporal_order
"""

from dataclasses import replace

from carrousel.papers.harness.paper_row import Experiment
from carrousel.papers.lstm1997.experiments import (
    adding,
    embedded_reber,
    long_lag_noise_free,
    long_lag_random,
    multiplication,
    temporal_order,
    two_sequence,
    very_long_lag,
)
from carrousel.papers.lstm1997.methods import ROWS
from carrousel.papers.lstm1997.tables import PAPER

MODULES = (
    embedded_reber,
    long_lag_noise_free,
    long_lag_random,
    very_long_lag,
    two_sequence,
    adding,
    multiplication,
    temporal_order,
)


def add_methods(experiment: Experiment) -> Experiment:
    """The experiment with the rows of the methods that the paper compares with the LSTM."""
    compared = [
        row.by(method, PAPER.get((method.name, row.number)))
        for row in experiment.rows
        for method in ROWS.get(row.number, ())
    ]
    return replace(experiment, compared=tuple(compared))


ALL: dict[str, Experiment] = {module.EXPERIMENT.name: add_methods(module.EXPERIMENT) for module in MODULES}
