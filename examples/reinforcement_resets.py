# %% [markdown]
"""
# Reinforcement learning: episodes that end inside a rollout

A rollout of fixed length cuts through episodes: some end in the middle, the next begins at once. `resets=` tells the
layer where; there the state starts from zeros, and no gradient goes back across the border. The task is a T-maze: at
the start of a corridor a sign says left or right, at its end the agent has to turn that way. Only memory solves it.

    python examples/reinforcement_resets.py
"""

# %%
import torch
from torch import nn

import carrousel

CORRIDOR, T, B = 8, 32, 64  # steps from the sign to the junction, steps of a rollout, mazes side by side
torch.manual_seed(0)
torch.set_num_threads(1)


class Mazes:
    """B T-mazes, each at its own place in its corridor."""

    def __init__(self) -> None:
        self.place = torch.randint(CORRIDOR, (B,))
        self.sign = 2 * torch.randint(2, (B,)) - 1

    def observe(self) -> torch.Tensor:
        """[B, 3]: the sign, seen at the start only; whether this is the junction; noise."""
        sign = torch.where(self.place == 0, self.sign, 0)
        return torch.stack([sign, self.place == CORRIDOR - 1, torch.randn(B)], 1).float()

    def act(self, turns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turns [B] of -1 or 1 -> rewards [B], given at the junction only, and whether an episode has ended [B]."""
        ended = self.place == CORRIDOR - 1
        reward = torch.where(ended, turns * self.sign, 0).float()
        self.place = torch.where(ended, 0, self.place + 1)
        self.sign = torch.where(ended, 2 * torch.randint(2, (B,)) - 1, self.sign)
        return reward, ended


# %% [markdown]
"""
First, what `resets` means: the same numbers as splitting the sequence by hand.
"""

# %%
lstm, policy = carrousel.LSTM(3, 32), nn.Linear(32, 1)
x, resets = torch.randn(10, 1, 3), torch.zeros(10, 1, dtype=torch.bool)
resets[6] = True  # an episode begins with step 6
together, _ = lstm(x, resets=resets)
apart = torch.cat([lstm(x[:6])[0], lstm(x[6:])[0]])
print("split by hand, largest difference:", f"{(together - apart).abs().max():.0e}")

# %% [markdown]
"""
Rollouts are collected step by step, with a stream: `state.reset(rows)` starts the rows whose episodes have begun.
Then the whole rollout is run again with gradients, from the states at its start, with the resets at the same
steps; REINFORCE does the rest.
"""

# %%
optimiser = torch.optim.Adam([*lstm.parameters(), *policy.parameters()], lr=1e-2)
mazes, begins = Mazes(), torch.zeros(B, dtype=torch.bool)
state = lstm.requires_grad_(False).start(batch=B)


def collect():
    """One rollout: observations [T, B, 3], turns, rewards and resets [T, B]."""
    global begins
    steps = []
    for _ in range(T):
        state.reset(begins)
        observation = mazes.observe()
        with torch.no_grad():
            right = torch.sigmoid(policy(lstm.step(observation, state))[:, 0])
        turns = 2 * torch.bernoulli(right) - 1
        reward, ended = mazes.act(turns)
        steps.append((observation, turns, reward, begins))
        begins = ended
    return [torch.stack(parts) for parts in zip(*steps)]


for update in range(1, 61):
    hx = tuple(part.clone() for part in state.hx())
    observations, turns, rewards, resets = collect()
    lstm.requires_grad_(True)
    y, _ = lstm(observations, hx, resets=resets)
    likelihood = nn.functional.logsigmoid(turns * policy(y)[..., 0])
    optimiser.zero_grad()
    (-(rewards * likelihood).sum() / B).backward()
    optimiser.step()
    lstm.requires_grad_(False)
    if update % 10 == 0:
        turned = rewards != 0
        print(f"update {update:2}: {(rewards[turned] > 0).float().mean():.0%} of the turns right")
