# %% [markdown]
"""
# Streaming: voice activity, frame by frame

A small LSTM learns to mark where somebody speaks, from whole recordings. Then it listens: one frame of 10 ms per
call, with an explicit `State`, and the same bits as on the whole recording. The audio is synthetic: vowels of random
pitch in noise.

    python examples/streaming_audio.py
"""

# %%
import time

import torch
from torch import nn

import carrousel

RATE, FRAME, BANDS = 8000, 80, 16  # samples a second, samples a frame, inputs of the network
torch.manual_seed(0)
torch.set_num_threads(1)


def record(frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A recording: features [T, BANDS] and, for each frame, whether somebody speaks [T]."""
    speaks = torch.zeros(frames)
    at = int(torch.randint(20, 60, ()))
    while at < frames:
        length = int(torch.randint(30, 90, ()))
        speaks[at : at + length] = 1
        at += length + int(torch.randint(40, 120, ()))
    t = torch.arange(frames * FRAME) / RATE
    pitch = 90 + 120 * torch.rand(())
    vowel = sum(torch.sin(2 * torch.pi * pitch * k * t + k) / k for k in range(1, 12))
    loud = torch.repeat_interleave(speaks, FRAME) * (0.2 + 0.8 * torch.rand(()))
    sound = loud * vowel + 0.3 * torch.randn(frames * FRAME)
    spectrum = torch.fft.rfft(sound.reshape(frames, FRAME)).abs().square()[:, : 2 * BANDS]
    return torch.log(spectrum.reshape(frames, BANDS, 2).sum(-1) + 1e-3) / 4, speaks


# %% [markdown]
"""
Training reads whole recordings, in a batch:
"""

# %%
lstm, head = carrousel.LSTM(BANDS, 40), nn.Linear(40, 1)
optimiser = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=5e-3)
for round in range(60):
    recordings = [record(300) for _ in range(8)]
    x, speaks = (torch.stack(parts, 1) for parts in zip(*recordings))  # [T, B, BANDS], [T, B]
    logits = head(lstm(x)[0])[..., 0]
    loss = nn.functional.binary_cross_entropy_with_logits(logits, speaks)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if round % 20 == 19:
        right = ((logits > 0) == speaks.bool()).float().mean()
        print(f"round {round + 1}: loss {loss:.3f}, {right:.1%} of the frames right")

# %% [markdown]
"""
Listening: `lstm.start` makes the state, `lstm.step` takes one frame and updates the state in place. With `out=` a
step allocates nothing. There is nothing to detach: streams record no gradients.
"""

# %%
lstm.requires_grad_(False)
head.requires_grad_(False)
x, speaks = record(1000)
state = lstm.start()  # one stream
y = torch.empty(1000, 40)
start = time.perf_counter()
for t in range(1000):
    lstm.step(x[t : t + 1], state, out=y[t : t + 1])
elapsed = time.perf_counter() - start
print(f"{1e6 * elapsed / 1000:.1f} microseconds a frame of 10 ms")

whole, _ = lstm(x[:, None])
print("same bits as the whole recording:", torch.equal(whole[:, 0], y))

# %% [markdown]
"""
What was heard, 20 frames a character; a state can be cloned, saved to a file, and reset:
"""

# %%
heard = (head(y)[:, 0] > 0).float()
for name, marks in (("spoken", speaks), ("heard", heard)):
    print(f"{name:>6} " + "".join("#" if part.mean() > 0.5 else "." for part in marks.split(20)))
print(f"{(heard == speaks).float().mean():.1%} of the frames right")
state.reset()  # the next recording begins from zeros
