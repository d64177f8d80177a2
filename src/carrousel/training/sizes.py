"""How much memory a run takes at least, and which options to lower if there is less."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from carrousel import memory
from carrousel.training.options import STEP, WEIGHTS, Options
from carrousel.training.task import Task

BYTES = 4  # of a number
COPIES = {"sgd": 2, "adam": 4, "adamw": 4}  # the weights, their gradients, and what the optimizer stores for each


def count(model: nn.Module) -> int:
    """The number of trained weights of a model."""
    return sum(weight.numel() for weight in model.parameters())


def count_weights(task: Task, options: Options, facts: dict[str, Any]) -> int:
    """How many weights the model will have, counted without memory for them.

    All layers from the second on are the same, so that a model with a million layers is counted from two.
    """
    layers = options.sizes(WEIGHTS).get("layers")
    with torch.device("meta"):
        if layers is None:
            return count(task.model(options, facts))
        one, two = (count(task.model(replace(options, layers=n), facts)) for n in (1, 2))
    return one + (layers - 1) * (two - one)


def weight_bytes(task: Task, options: Options, facts: dict[str, Any]) -> int:
    """Bytes that training takes for the weights, at least."""
    return COPIES[options.optimizer] * BYTES * count_weights(task, options, facts)


def step_bytes(task: Task, options: Options, facts: dict[str, Any]) -> int:
    """Bytes that a step takes, at least."""
    return BYTES * task.numbers_in_step(options, facts)


def require(task: Task, options: Options, facts: dict[str, Any]) -> None:
    """Raise UserError if there is less memory than the run takes at least.

    Args:
        task: the task.
        options: complete.
        facts: `Data.facts`.
    """
    needed = weight_bytes(task, options, facts) + step_bytes(task, options, facts)
    memory.require(needed, f"training {describe(task, options, facts)}", f"lower {name_largest(task, options, facts)}")


def describe(task: Task, options: Options, facts: dict[str, Any]) -> str:
    """The sizes of a run, and the options that they come from."""
    names = {kind: [f"--{name} {size}" for name, size in options.sizes(kind).items()] for kind in (WEIGHTS, STEP)}
    of_weights = f" ({', '.join(names[WEIGHTS])})" if names[WEIGHTS] else ""
    return (
        f"{count_weights(task, options, facts):,} weights{of_weights} "
        f"in steps of {options.units:,} {task.unit} ({' x '.join(names[STEP])})"
    )


def name_largest(task: Task, options: Options, facts: dict[str, Any]) -> str:
    """The options that take most of the memory."""
    step_is_larger = step_bytes(task, options, facts) > weight_bytes(task, options, facts)
    names = options.sizes(STEP if step_is_larger else WEIGHTS) or options.sizes(STEP)
    return " or ".join(f"--{name}" for name in names)


def advise(task: Task, options: Options, facts: dict[str, Any]) -> str:
    """What to do if memory runs out during training."""
    needed = memory.size(weight_bytes(task, options, facts) + step_bytes(task, options, facts))
    described = describe(task, options, facts)
    return f"training {described} takes more than {needed}; lower {name_largest(task, options, facts)}"
