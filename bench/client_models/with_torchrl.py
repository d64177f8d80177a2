"""torchrl: an LSTMModule over whole trajectories, as PPO and DQN train it."""

from __future__ import annotations

import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictSequential
from torch import Tensor, nn
from torchrl.modules import LSTMModule, set_recurrent_mode

from bench.client_models.measured import Measured, Swap, waves


def make(swap: Swap) -> Measured:
    """Observations [32, 50, 8] -> values, one trajectory a row."""
    torch.manual_seed(0)
    memory = LSTMModule(input_size=8, hidden_size=128, in_key="observation", out_key="seen")
    policy = TensorDictSequential(memory, TensorDictModule(nn.Linear(128, 1), ["seen"], ["value"]))
    swap(policy)
    optimiser = torch.optim.Adam(policy.parameters(), 1e-3)
    observation = waves(32 * 8, 50).reshape(32, 8, 50).transpose(1, 2)

    def values() -> Tensor:
        starts = torch.zeros(32, 50, 1, dtype=torch.bool)
        starts[:, 0] = True
        data = TensorDict({"observation": observation, "is_init": starts}, [32, 50])
        with set_recurrent_mode(True):
            return policy(data)["value"]

    def fit() -> float:
        for _ in range(8):
            optimiser.zero_grad()
            loss = nn.functional.mse_loss(values()[:, :-1, 0], observation[:, 1:, 0])
            loss.backward()
            optimiser.step()
        return loss.item()

    def outputs() -> Tensor:
        with torch.no_grad():
            return values()

    return Measured("LSTMModule, LSTM 8-128, 50 steps", "8 steps of Adam on 32 trajectories", outputs, fit)
