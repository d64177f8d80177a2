"""Log-mel frames: sound as a model hears it, energies in bands that are even to the ear.

torch.stft and a matrix; librosa would bring numba, SciPy and scikit-learn for them.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

BANDS = 40
WINDOW, HOP = 0.025, 0.010  # seconds
LOWEST = 20.0  # Hz
FLOOR = 1e-6  # the energy of silence, about that of the last bit of 16


def log_mel(samples: Tensor, rate: int) -> Tensor:
    """The natural logarithm of the energies in bands, for each hundredth of a second [T, 40].

    Frame t is centred at t HOP; before and after the sound is silence. Source: Davis and Mermelstein 1980, section II,
    with the mel scale 2595 log10(1 + f / 700).

    Args:
        samples: between -1 and 1 [n], float32.
        rate: samples in a second.
    """
    length, hop = max(2, round(WINDOW * rate)), max(1, round(HOP * rate))
    spectrum = torch.stft(
        samples, length, hop, window=torch.hann_window(length), center=True, pad_mode="constant", return_complex=True
    )
    energies = spectrum.abs().square() / length
    return torch.log(filters(length, rate) @ energies + FLOOR).T.contiguous()


@cache
def filters(length: int, rate: int) -> Tensor:
    """How much of each frequency is in each band [40, length // 2 + 1]: triangles, their tops evenly spaced in mel."""
    frequencies = torch.arange(length // 2 + 1) * (rate / length)
    ends = mel(torch.tensor([LOWEST, rate / 2]))
    points = 700 * (10 ** (torch.linspace(float(ends[0]), float(ends[1]), BANDS + 2) / 2595) - 1)
    low, top, high = points[:-2, None], points[1:-1, None], points[2:, None]
    return torch.minimum((frequencies - low) / (top - low), (high - frequencies) / (high - top)).clamp(min=0)


def mel(frequency: Tensor) -> Tensor:
    """Frequencies in Hz on the mel scale."""
    return 2595 * torch.log10(1 + frequency / 700)
