"""darts: RNNModel, which makes its module when it is fitted; a callback swaps it then."""

from __future__ import annotations

import numpy as np
import pytorch_lightning
import torch
from darts import TimeSeries
from darts.models import RNNModel
from torch import Tensor

from bench.client_models.measured import Measured, Swap, waves
from bench.client_models.with_lightning import QUIET


class SwapAtStart(pytorch_lightning.Callback):
    """Swaps what any client trains by Lightning: the optimiser holds the same Parameters before and after."""

    def __init__(self, swap: Swap) -> None:
        self.swap = swap

    def on_fit_start(self, trainer: pytorch_lightning.Trainer, module: pytorch_lightning.LightningModule) -> None:
        """Swap what is trained."""
        self.swap(module)


class LastLoss(pytorch_lightning.Callback):
    """The loss of the last batch."""

    def on_train_batch_end(self, trainer: object, module: object, outputs: dict, batch: object, index: int) -> None:
        """Keep it."""
        self.loss = float(outputs["loss"])


def make(swap: Swap) -> Measured:
    """One LSTM of 128 units on 16 series."""
    last = LastLoss()
    model = RNNModel(
        24,
        model="LSTM",
        hidden_dim=128,
        training_length=72,
        batch_size=32,
        n_epochs=1,
        random_state=0,
        pl_trainer_kwargs=QUIET | {"callbacks": [SwapAtStart(swap), last]},
    )
    series = [TimeSeries.from_values(row.numpy().astype(np.float32)) for row in waves(16, 100)]
    model.fit(series)

    def fit() -> float:
        model.fit(series, epochs=1)
        return last.loss

    def outputs() -> Tensor:
        forecasts = model.predict(24, series, show_warnings=False)
        return torch.stack([torch.from_numpy(forecast.values()) for forecast in forecasts])

    return Measured("RNNModel, LSTM 1-128, 72 steps", "fit, 1 epoch of 16 series", outputs, fit)
