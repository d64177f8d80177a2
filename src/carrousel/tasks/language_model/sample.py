"""Symbols from a model, one at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from carrousel.errors import UserError

NO_TABLE = (
    "carrousel predict does not work for a language model: use carrousel sample to continue a text, or carrousel eval "
    "to measure how well it predicts one"
)


def check_arguments(length: int, temperature: float, seed: int) -> None:
    """Raise UserError if an argument of `sample` is not allowed."""
    if not 0 <= temperature < float("inf"):
        raise UserError(f"--temperature {temperature} is not allowed: it must be a number, at least 0")
    if length < 0:
        raise UserError(f"--length {length} is not allowed: it must be at least 0")
    if not 0 <= seed < 2**64:
        raise UserError(f"--seed {seed} is not allowed: it must be at least 0 and below 2**64")


@torch.inference_mode()
def sample(
    model: nn.Module, codes: Tensor, length: int, temperature: float, seed: int, never: int | None = None
) -> Iterator[int]:
    """Continue a text, one symbol a step, with the state carried from step to step.

    Args:
        model: a `LanguageModel` in evaluation mode.
        codes: the text [N], int64, at least one symbol.
        length: how many symbols are returned.
        temperature: the logits are divided by it; 0: always the most likely symbol.
        seed: the same seed gives the same symbols.
        never: a symbol that is not chosen.
    """
    generator = torch.Generator().manual_seed(seed)
    logits, state = model(codes[:, None])
    for _ in range(length):
        if never is not None:
            logits[..., never] = -torch.inf
        code = choose(logits[-1, 0], temperature, generator)
        yield code
        logits, state = model(torch.tensor([[code]]), state)


def choose(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    """One symbol, by logits [V]."""
    if temperature == 0:
        return int(logits.argmax())
    probabilities = torch.softmax(logits.double() / temperature, 0)  # small temperatures overflow float32
    return int(torch.multinomial(probabilities, 1, generator=generator))
