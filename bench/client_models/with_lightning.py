"""Lightning: a module around a GRU, and its Trainer."""

from __future__ import annotations

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from bench.client_models.measured import Measured, Swap, waves

QUIET = {
    "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False,
}  # fmt: skip


class Forecaster(lightning.LightningModule):
    """The next value of a series."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(1, 128, num_layers=2, batch_first=True)
        self.out = nn.Linear(128, 1)
        self.last = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Series [B, T, 1] -> the next values [B, T, 1]."""
        return self.out(self.gru(x)[0])

    def training_step(self, batch: list[Tensor]) -> Tensor:
        """The loss of a batch of series."""
        (x,) = batch
        loss = nn.functional.mse_loss(self(x[:, :-1]), x[:, 1:])
        self.last = loss.item()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), 1e-3)


def make(swap: Swap) -> Measured:
    """The module is swapped before the Trainer sees it."""
    torch.manual_seed(0)
    model = Forecaster()
    swap(model)
    x = waves(256, 100)[..., None]
    data = DataLoader(TensorDataset(x), 32)

    def fit() -> float:
        lightning.Trainer(max_epochs=1, **QUIET).fit(model, data)
        return model.last

    def outputs() -> Tensor:
        with torch.no_grad():
            return model.eval()(x)

    return Measured("GRU 1-128-128, 99 steps", "Trainer.fit, 8 batches of 32", outputs, fit)
