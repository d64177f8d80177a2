"""pytorch-forecasting: its second temporal fusion transformer. Its other models have subclasses that a swap leaves."""

from __future__ import annotations

import lightning
import torch
from pytorch_forecasting.models.temporal_fusion_transformer._tft_v2 import TFT
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bench.client_models.measured import Measured, Swap, waves
from bench.client_models.with_lightning import QUIET

PAST, AHEAD = 72, 24
SIZES = {
    "max_encoder_length": PAST, "max_prediction_length": AHEAD,
    "encoder_cont": 1, "encoder_cat": 0, "decoder_cont": 1, "decoder_cat": 0,
}  # fmt: skip


def make(swap: Swap) -> Measured:
    """The model as its package makes it, with two layers of 64 units in the encoder and in the decoder."""
    torch.manual_seed(0)
    model = TFT(nn.L1Loss(), metadata=SIZES, dropout=0.0)
    swap(model)
    series = waves(768, PAST + AHEAD)[..., None]
    clock = torch.linspace(0, 1, AHEAD).expand(768, AHEAD)[..., None]
    inputs = [{"encoder_cont": x, "decoder_cont": t} for x, t in zip(series[:, :PAST], clock)]
    data = DataLoader(list(zip(inputs, series[:, PAST:])), 32)

    def fit() -> float:
        trainer = lightning.Trainer(max_epochs=1, **QUIET)
        trainer.fit(model, data)
        return float(trainer.callback_metrics["train_loss"])

    def outputs() -> Tensor:
        with torch.no_grad():
            return model.eval()({"encoder_cont": series[:32, :PAST], "decoder_cont": clock[:32]})["prediction"]

    return Measured("TFT, LSTM 1-64-64 twice", "Trainer.fit, 24 batches of 32, 96 steps", outputs, fit)
