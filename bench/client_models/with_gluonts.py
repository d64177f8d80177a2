"""gluonts: DeepAR, which makes its module when it is trained; a callback swaps it then."""

from __future__ import annotations

import tempfile

import pandas as pd
import torch
from gluonts.dataset.pandas import PandasDataset
from gluonts.torch import DeepAREstimator
from torch import Tensor

from bench.client_models.measured import Measured, Swap, waves
from bench.client_models.with_darts import LastLoss, SwapAtStart
from bench.client_models.with_lightning import QUIET


def make(swap: Swap) -> Measured:
    """Two layers of 128 units on 16 hourly series."""
    last = LastLoss()
    hours = pd.date_range("2020-01-01", periods=150, freq="h")
    data = PandasDataset({str(k): pd.Series(row, hours) for k, row in enumerate(waves(16, 150).numpy())})
    quiet = {name: value for name, value in QUIET.items() if "checkpoint" not in name}
    trained = []

    def train() -> float:
        with tempfile.TemporaryDirectory() as folder:  # of checkpoints, from which it takes the best
            return train_in(folder)

    def train_in(folder: str) -> float:
        estimator = DeepAREstimator(
            "h",
            24,
            context_length=48,
            num_layers=2,
            hidden_size=128,
            dropout_rate=0.0,
            num_batches_per_epoch=8,
            lags_seq=[1, 24],
            trainer_kwargs=quiet
            | {"max_epochs": 1, "callbacks": [SwapAtStart(swap), last], "default_root_dir": folder},
        )
        torch.manual_seed(0)
        trained[:] = [estimator.train(data)]
        swap(trained[0].prediction_net)
        return last.loss

    train()

    def outputs() -> Tensor:
        torch.manual_seed(0)
        return torch.stack([torch.from_numpy(f.samples) for f in trained[0].predict(data, num_samples=20)])

    return Measured("DeepAR, LSTM 128-128", "train, 8 batches of 32, 72 steps", outputs, train)
