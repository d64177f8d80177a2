# %% [markdown]
"""
# A cell of your own, at the speed of a built-in one

A function of one step becomes a layer with `carrousel.cell`. With `compile=True` its derivative and its C++ are
generated from the function and compiled once (some ten seconds, then cached). Without a compiler it runs in torch
operations and says so.

    python examples/custom_cell.py
"""

# %%
import time

import torch
from torch import nn

import carrousel

torch.manual_seed(0)
torch.set_num_threads(1)


@carrousel.cell(rows="fg", states="h", forget_gate="f")
def Leaky(rows, states):
    """Leaky units that learn when to leak: h' = f h + (1 - f) tanh(g)."""
    f, g = rows  # pre-activations [B, H]: W x + R h + biases
    (h,) = states
    f = torch.sigmoid(f)
    return (f * h + (1 - f) * torch.tanh(g),)


# %% [markdown]
"""
`Leaky` is called like `torch.nn.GRU`: layers, directions, dropout, ragged batches, streams. The same weights, with
and without a kernel:
"""

# %%
plain, fast = Leaky(2, 64), Leaky(2, 64, compile=True)
fast.load_state_dict(plain.state_dict())
x = torch.randn(50, 32, 2)  # [T, B, I]
print(f"compiled: {fast.compiled}")
print(f"largest difference: {(plain(x)[0] - fast(x)[0]).abs().max():.0e}")
for name, layer in (("torch operations", plain), ("kernel", fast)):
    times = []
    for _ in range(12):
        start = time.perf_counter()
        layer(x)[0].sum().backward()
        times.append(1000 * (time.perf_counter() - start))
    print(f"{name:>16}: {sorted(times)[6]:.2f} ms forward and backward")

# %% [markdown]
"""
Does it learn? The adding problem: the sum of the two numbers that are marked, in sequences of 50. Always answering
the mean leaves an error of 0.167. `forget_bias` makes the units remember at first.
"""

# %%
layer, head = Leaky(2, 64, forget_bias=3.0, compile=True), nn.Linear(64, 1)
optimiser = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=5e-3)
for step in range(1, 801):
    values, marks = torch.rand(50, 32), torch.zeros(50, 32)
    marks[torch.randint(25, (32,)), torch.arange(32)] = 1
    marks[torch.randint(25, 50, (32,)), torch.arange(32)] = 1
    y, _ = layer(torch.stack([values, marks], -1))
    error = (head(y[-1])[:, 0] - (values * marks).sum(0)).square().mean()
    optimiser.zero_grad()
    error.backward()
    optimiser.step()
    if step % 200 == 0:
        print(f"step {step}: mean squared error {error:.4f}")
