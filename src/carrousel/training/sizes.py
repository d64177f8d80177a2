"""What a run takes of memory at least, and what to lower where there is less."""

from __future__ import annotations

import torch

from carrousel import memory
from carrousel.tasks.text import CharModel
from carrousel.training.options import Options

NUMBER, CODE = 4, 8  # bytes of a weight, and of a character that was read
COPIES = {"sgd": 2, "adam": 4, "adamw": 4}  # the weights, their gradients, and what the optimiser keeps of each


def weights(symbols: int, options: Options) -> int:
    """How many weights the model has. They are counted without memory for them, and from two layers: more are alike."""
    with torch.device("meta"):
        one, two = (CharModel(symbols, options.cell, options.hidden, layers, 0.0).size() for layers in (1, 2))
    return one + (options.layers - 1) * (two - one)


def of_weights(symbols: int, options: Options) -> int:
    """Bytes that training takes at least for the weights."""
    return COPIES[options.optimizer] * NUMBER * weights(symbols, options)


def of_step(symbols: int, options: Options) -> int:
    """Bytes that a step takes at least: each layer's outputs; the logits, their logarithms and their gradients."""
    return NUMBER * options.length * options.batch * (options.layers * options.hidden + 3 * symbols)


def require(symbols: int, options: Options) -> None:
    """Refuse a run for which there is too little memory.

    Args:
        symbols: V, the size of the vocabulary.
        options: checked.

    Raises:
        UserError: there is less than the run takes at least.
    """
    needed = of_weights(symbols, options) + of_step(symbols, options)
    memory.require(needed, f"training {described(symbols, options)}", f"lower {to_lower(symbols, options)}")


def described(symbols: int, options: Options) -> str:
    """The sizes that count, with what they come to."""
    characters = options.batch * options.length
    return (
        f"{weights(symbols, options):,} weights (--hidden {options.hidden}, --layers {options.layers}) "
        f"in steps of {characters:,} characters (--batch {options.batch} x --length {options.length})"
    )


def to_lower(symbols: int, options: Options) -> str:
    """The options that take most of the memory."""
    step_is_larger = of_step(symbols, options) > of_weights(symbols, options)
    return "--batch or --length" if step_is_larger else "--hidden or --layers"


def advice(symbols: int, options: Options) -> str:
    """What to do where memory is out in spite of that."""
    needed = memory.size(of_weights(symbols, options) + of_step(symbols, options))
    described_run = described(symbols, options)
    return f"training {described_run} takes more than {needed}; lower {to_lower(symbols, options)}"
