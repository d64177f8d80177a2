"""sb3-contrib: RecurrentPPO, whose policy has an LSTM for the actor and one for the critic."""

from __future__ import annotations

import gymnasium
import numpy as np
import torch
from sb3_contrib import RecurrentPPO
from torch import Tensor

from bench.client_models.measured import Measured, Swap

STEPS = 128  # of one environment


class Recall(gymnasium.Env):
    """The first observation says which action is rewarded until the episode ends, 16 steps later."""

    observation_space = gymnasium.spaces.Box(-1, 1, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """A new sign to be recalled."""
        super().reset(seed=seed)
        self.step_number, self.right = 0, int(self.np_random.integers(2))
        return np.array([2 * self.right - 1, 0, 0, 0], np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        """A reward of 1 for the action that was announced."""
        self.step_number += 1
        observation = self.np_random.uniform(-1, 1, 4).astype(np.float32)
        return observation, float(action == self.right), self.step_number == 16, False, {}


def make(swap: Swap) -> Measured:
    """The policy is swapped; its optimiser, which it has already, goes on."""
    model = RecurrentPPO("MlpLstmPolicy", Recall(), n_steps=STEPS, batch_size=STEPS, n_epochs=4, seed=0, device="cpu")
    swap(model.policy)
    x = torch.rand(32, 4, generator=torch.Generator().manual_seed(0))
    states = tuple(torch.zeros(1, 1, 256) for _ in range(2))

    def fit() -> float:
        model.learn(STEPS, reset_num_timesteps=False)
        return float(model.logger.name_to_value["train/loss"])

    def outputs() -> Tensor:
        with torch.no_grad():
            return model.policy.predict_values(x, states, torch.zeros(32))

    return Measured("MlpLstmPolicy, two LSTM 4-256", f"learn, {STEPS} steps and 4 epochs", outputs, fit)
