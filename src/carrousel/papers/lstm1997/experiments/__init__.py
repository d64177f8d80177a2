"""The paper's experiments in its order, one file each: data, network, learning rate, criterion, test."""

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
from carrousel.papers.lstm1997.row import Experiment

ALL: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (
        embedded_reber,
        long_lag_noise_free,
        long_lag_random,
        very_long_lag,
        two_sequence,
        adding,
        multiplication,
        temporal_order,
    )
}
