"""neuralforecast: its LSTM model, swapped before it is fitted."""

from __future__ import annotations

import pandas as pd
import torch
from neuralforecast import NeuralForecast
from neuralforecast.models import LSTM
from torch import Tensor

from bench.client_models.measured import Measured, Swap, waves
from bench.client_models.with_lightning import QUIET


def make(swap: Swap) -> Measured:
    """NeuralForecast.fit trains a copy of the model, which is swapped as the original is."""
    model = LSTM(
        h=12,
        input_size=72,
        encoder_hidden_size=128,
        encoder_n_layers=2,
        max_steps=8,
        batch_size=32,
        random_seed=0,
        windows_batch_size=64,
        **QUIET,
    )
    swap(model)
    series = waves(32, 120)
    frame = pd.DataFrame(
        {
            "unique_id": [k for k in range(32) for _ in range(120)],
            "ds": [*range(120)] * 32,
            "y": series.flatten().numpy(),
        }
    )
    forecaster = NeuralForecast([model], freq=1)
    forecaster.fit(frame)

    def fit() -> float:
        forecaster.fit(frame)
        return float(forecaster.models[0].train_trajectories[-1][1])

    def outputs() -> Tensor:
        return torch.from_numpy(forecaster.predict(frame)["LSTM"].to_numpy())

    return Measured("LSTM 1-128-128, 72 steps", "fit, 8 batches of 64 windows", outputs, fit)
