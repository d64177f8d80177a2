"""neuralhydrology: its CudaLSTM, trained by its own trainer on two basins that a file holds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray
from neuralhydrology.training.basetrainer import BaseTrainer
from neuralhydrology.utils.config import Config
from torch import Tensor

from bench.client_models.measured import Measured, Swap, waves

BASINS = ("north", "south")
DAYS = pd.date_range("2000-01-01", periods=500)
PERIODS = ("train", "validation", "test")


def write_basins(folder: Path) -> Path:
    """Rain, temperature and discharge of every basin, as neuralhydrology's generic dataset wants them."""
    (folder / "time_series").mkdir()
    for basin, (rain, warmth) in zip(BASINS, waves(4, len(DAYS)).numpy().reshape(2, 2, -1)):
        series = {"rain": rain, "warmth": warmth, "discharge": np.convolve(rain, np.ones(9) / 9, "same")}
        frame = pd.DataFrame(series, index=pd.Index(DAYS, name="date"))
        xarray.Dataset.from_dataframe(frame).to_netcdf(folder / "time_series" / f"{basin}.nc")
    (folder / "basins.txt").write_text("\n".join(BASINS))
    return folder


def config(folder: Path) -> Config:
    """A year of days for each prediction, one epoch of 4 batches."""
    files = {f"{period}_basin_file": str(folder / "basins.txt") for period in PERIODS}
    dates = {f"{period}_start_date": "01/01/2000" for period in PERIODS}
    dates |= {f"{period}_end_date": DAYS[-1].strftime("%d/%m/%Y") for period in PERIODS}
    data = {
        "data_dir": str(folder),
        "dataset": "generic",
        "dynamic_inputs": ["rain", "warmth"],
        "target_variables": ["discharge"],
        "seq_length": 365,
        "predict_last_n": 1,
        "num_workers": 0,
    }
    model = {
        "model": "cudalstm",
        "head": "regression",
        "hidden_size": 64,
        "output_dropout": 0.0,
        "initial_forget_bias": 3,
        "device": "cpu",
    }
    training = {
        "loss": "MSE",
        "optimizer": "Adam",
        "learning_rate": {0: 1e-3},
        "clip_gradient_norm": 1.0,
        "batch_size": 64,
        "epochs": 1,
        "max_updates_per_epoch": 4,
        "seed": 0,
    }
    records = {
        "experiment_name": "bench",
        "run_dir": str(folder / "run"),
        "log_tensorboard": False,
        "log_interval": 1,
        "save_weights_every": 100,
        "verbose": 0,
    }
    return Config(files | dates | data | model | training | records)


def make(swap: Swap) -> Measured:
    """The trainer's model is swapped after it was initialised, which made its optimiser."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainer(config(write_basins(Path(folder))))
        trainer.initialize_training()
    trainer.validator = None
    swap(trainer.model)
    batch = next(iter(trainer.loader))

    def fit() -> float:
        torch.manual_seed(0)
        trainer._train_epoch(1)
        return trainer.experiment_logger.summarise()["avg_loss"]

    def outputs() -> Tensor:
        with torch.no_grad():
            return trainer.model.eval()(batch)["y_hat"]

    return Measured("CudaLSTM, LSTM 2-64, 365 steps", "an epoch of 4 batches of 64", outputs, fit)
