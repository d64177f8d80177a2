# %% [markdown]
"""
# Hydrology: what the states and gates of a trained network show

An LSTM learns the discharge of rivers from rain and temperature. Snow stores water for months; the network is never
shown how much lies there. After training, `return_states=True` gives every step's cell states on the fast path, and
one of the units follows the snow. Catchments have records of different lengths: `lengths=` reads them padded, at the
cost of the real steps only. The weather and the rivers are simulated.

    python examples/hydrology_gates.py
"""

# %%
import torch
from matplotlib import pyplot as plt
from torch import nn

import carrousel

torch.manual_seed(0)
YEAR, HIDDEN = 365, 16


def simulate(days: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A catchment: rain and temperature [T, 2], discharge [T], and the snow that lies [T]; all about 1 in size."""
    day = torch.arange(days) + int(torch.randint(YEAR, ()))
    temperature = -torch.cos(2 * torch.pi * day / YEAR) + 0.3 * torch.randn(days)
    rain = torch.where(torch.rand(days) < 0.3, -torch.log(torch.rand(days)), 0.0)
    snow, soil, discharge, lies = 0.0, 1.0, [], []
    for water, warm in zip(rain.tolist(), temperature.tolist()):
        melt = min(snow, 0.4 * max(warm, 0.0))
        snow += (water if warm < 0 else 0.0) - melt
        soil += (0.0 if warm < 0 else water) + melt
        runoff = 0.05 * soil
        soil -= runoff
        discharge.append(runoff)
        lies.append(snow / 20)
    return torch.stack([rain, temperature], 1), torch.tensor(discharge), torch.tensor(lies)


# %% [markdown]
"""
Twelve catchments with records of two to four years, padded to one tensor:
"""

# %%
lengths = torch.randint(2 * YEAR, 4 * YEAR, (12,))
records = [simulate(int(days)) for days in lengths]
x, discharge, snow = (nn.utils.rnn.pad_sequence(list(parts)) for parts in zip(*records))  # [T, B, 2], [T, B], [T, B]
real = torch.arange(len(x))[:, None] < lengths  # [T, B]
print(f"{len(lengths)} catchments, {int(real.sum()):,} days in a padded tensor of {real.numel():,}")

lstm, head = carrousel.LSTM(2, HIDDEN, longest_lag=YEAR), nn.Linear(HIDDEN, 1)
optimiser = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=1e-2)
for epoch in range(1, 151):
    y, _ = lstm(x, lengths=lengths)
    error = (head(y)[..., 0] - discharge)[real].square().mean()
    optimiser.zero_grad()
    error.backward()
    optimiser.step()
    if epoch % 50 == 0:
        print(f"epoch {epoch:3}: explains {1 - error / discharge[real].var():.1%} of the variance")

# %% [markdown]
"""
Now a catchment that the network has not seen, with every state and gate. The fields are named after the cell's
equations; each holds one tensor for each layer and direction.
"""

# %%
weather, river, lies = simulate(3 * YEAR)
with torch.no_grad():
    y, _, inside = lstm(weather[:, None], return_states=True, return_gates=True)
print("fields:", ", ".join(inside._fields))
c, f = inside.c[0][:, 0], inside.f[0][:, 0]  # [T, H] each
correlations = torch.stack([torch.corrcoef(torch.stack([c[:, unit], lies]))[0, 1] for unit in range(HIDDEN)])
unit = int(correlations.abs().nan_to_num().argmax())
print(f"cell {unit} follows the snow: correlation {correlations[unit]:.2f}")
forget = f[:, unit].mean()
half_life = torch.log(torch.tensor(0.5)) / torch.log(forget)
print(f"its forget gate is {forget:.3f} on average: half of what it stores is left after {half_life:.0f} days")

# %%
figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7, 4), dpi=72, layout="constrained")
above.plot(river, color="0.6", label="discharge")
above.plot(head(y)[:, 0, 0].detach(), label="network")
above.legend(loc="upper right")
below.plot(lies / lies.std(), color="0.6", label="snow")
below.plot(c[:, unit] * correlations[unit].sign() / c[:, unit].std(), label=f"cell state {unit}")
below.set_xlabel("day")
below.legend(loc="upper right")
plt.show()
