"""Text from a model, one character at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from carrousel.errors import UserError
from carrousel.training.trained import Trained


def sample(trained: Trained, prompt: str, length: int, temperature: float = 1.0, seed: int = 0) -> Iterator[str]:
    """Go on with a text, one character a step, the state carried from step to step.

    Args:
        trained: the model.
        prompt: what is read first; not part of what comes out. Empty: as if a line had just ended.
        length: how many characters come out.
        temperature: the logits are divided by it: below 1 more likely text, above 1 more unlikely. 0: always the most
            likely character.
        seed: of the draws; the same seed gives the same text.

    Raises:
        UserError: a character of the prompt that the model does not know, or a number that cannot be.
    """
    if not 0 <= temperature < float("inf"):
        raise UserError(f"--temperature {temperature} cannot be: it must be a number, at least 0")
    if length < 0:
        raise UserError(f"--length {length} cannot be: it must be at least 0")
    if not 0 <= seed < 2**64:
        raise UserError(f"--seed {seed} cannot be: it must be at least 0 and below 2**64")
    codes = trained.encode(prompt or silence(trained), "the prompt")
    return draws(trained, codes, length, temperature, seed)


def silence(trained: Trained) -> str:
    """What is read before a text without a prompt: the end of a line, or a blank, or whatever there is."""
    symbols = trained.vocabulary.symbols
    return next(symbol for symbol in "\n " + symbols if symbol in symbols)


@torch.inference_mode()
def draws(trained: Trained, codes: Tensor, length: int, temperature: float, seed: int) -> Iterator[str]:
    """The characters after the prompt's codes [N]."""
    generator = torch.Generator().manual_seed(seed)
    logits, state = trained.model(codes[:, None])
    for _ in range(length):
        code = draw(logits[-1, 0], temperature, generator)
        yield trained.vocabulary.decode([code])
        logits, state = trained.model(torch.tensor([[code]]), state)


def draw(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    """One symbol, by logits [V]."""
    if temperature == 0:
        return int(logits.argmax())
    chances = torch.softmax(logits.double() / temperature, 0)  # the smallest temperatures overflow float32
    return int(torch.multinomial(chances, 1, generator=generator))
