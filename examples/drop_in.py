# %% [markdown]
"""
# A faster model in one line

`carrousel.swap(model)` replaces every `torch.nn.LSTM`, `GRU` and `RNN` in a model. Parameters stay the same objects,
so optimisers, checkpoints and `state_dict` go on as before; results are the same up to rounding.

    python examples/drop_in.py
"""

# %%
import time

import torch
from torch import nn

import carrousel


class Classifier(nn.Module):
    """Two LSTM layers and a linear layer on the last output."""

    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, T, I] -> logits [B, classes]."""
        y, _ = self.lstm(x)
        return self.head(y[:, -1])


torch.manual_seed(0)
model = Classifier(features=9, hidden=64, classes=6)
x = torch.randn(32, 128, 9)  # [B, T, I]: 32 windows of 128 samples from nine sensors
labels = torch.randint(6, (32,))

# %% [markdown]
"""
The same model before and after the swap, with the same weights:
"""

# %%
before = model(x)
print(carrousel.swap(model))
after = model(x)
print(f"largest difference of the logits: {(after - before).abs().max():.1e}")

# %% [markdown]
"""
One training step each, in turns, so that both meet the same load of the machine:
"""


# %%
def train_step() -> float:
    """Forward and backward; the milliseconds that they take."""
    start = time.perf_counter()
    model.zero_grad()
    nn.functional.cross_entropy(model(x), labels).backward()
    return 1000 * (time.perf_counter() - start)


torch.set_num_threads(1)
times = {"carrousel": [], "torch.nn": []}
for turn in range(12):
    carrousel.swap(model)
    ours = train_step()
    carrousel.swap_back(model)
    theirs = train_step()
    if turn >= 2:  # the first turns warm up
        times["carrousel"].append(ours)
        times["torch.nn"].append(theirs)

medians = {name: sorted(values)[len(values) // 2] for name, values in times.items()}
for name, median in medians.items():
    print(f"{name:>9}: {median:5.1f} ms a training step")
print(f"carrousel is {medians['torch.nn'] / medians['carrousel']:.1f}x faster here")
