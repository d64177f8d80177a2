"""A model in training: one step, a measurement, and all of it as facts and tensors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from carrousel import checkpoint
from carrousel.data.batch_streams import Streams
from carrousel.data.vocabulary import Corpus
from carrousel.errors import UserError
from carrousel.tasks.evaluate import Score, evaluate
from carrousel.tasks.text import CharModel, State, joined, parts
from carrousel.training import sizes
from carrousel.training.options import Options

WARM_UP = 0.02  # the part of a run in which the rate rises from 0 (cosine, linear)


class Trainer:
    """Everything that changes while a model is trained, and how it changes.

    Args:
        options: checked.
        corpus: what to train and to measure on.
        device: where.
    """

    def __init__(self, options: Options, corpus: Corpus, device: torch.device) -> None:
        torch.manual_seed(options.seed)
        self.options, self.device = options, device
        self.streams = Streams(corpus.train.to(device), options.batch, options.length)
        if device.type == "cpu":
            sizes.require(len(corpus.vocabulary), options)
        self.model = new_model(len(corpus.vocabulary), options).to(device)
        self.weights = list(self.model.parameters())
        self.optimizer = new_optimizer(self.weights, options)
        self.lr = self.optimizer.param_groups[0]["lr"]  # at its highest
        self.step = 0
        self.state: State = None

    def advance(self, progress: float) -> float:
        """One step of truncated backpropagation through time.

        Args:
            progress: the part of the run that is over, in [0, 1); sets the learning rate.

        Returns:
            The loss before the step, in nats a character.

        Raises:
            UserError: the loss or its gradient is no number; the weights are as they were.
        """
        x, y = self.streams.window(self.step)
        logits, state = self.model(x, self.state)
        loss = cross_entropy(logits.flatten(0, 1), y.flatten())
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self.options.clip or math.inf)
        value = loss.item()
        self.check(value, "loss")
        self.check(norm.item(), "gradient's norm")
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * factor(self.options.schedule, progress)
        self.optimizer.step()
        self.state = joined(tuple(part.detach() for part in parts(state)))
        self.step += 1
        return value

    def measure(self, codes: Tensor, sample: int | None = None) -> Score:
        """The score of the weights as they are on a text [N], or on a sample of it."""
        score = evaluate(self.model, codes, sample)
        self.check(score.nats_per_char, "validation loss")
        return score

    @torch.no_grad()
    def check_next(self) -> None:
        """Refuse weights with which the next step would fail, before they are saved in the place of good ones."""
        x, y = self.streams.window(self.step)
        self.model.eval()
        logits, _ = self.model(x, self.state)
        self.model.train()
        self.check(cross_entropy(logits.flatten(0, 1), y.flatten()).item(), "loss")

    def check(self, value: float, name: str) -> None:
        """Refuse what is no number."""
        if not math.isfinite(value):
            raise Diverged(
                f"the {name} became {value} at step {self.step + 1}; lower --lr (now {self.lr:g}) "
                f"or --clip (now {self.options.clip:g})"
            )

    def tensors(self) -> dict[str, Tensor]:
        """All that is needed to go on bit for bit, but for the facts: weights, optimiser, state, random numbers."""
        found = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for index, entries in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{index}.{name}": value for name, value in entries.items() if value is not None}
        found |= {f"state.{index}": part for index, part in enumerate(parts(self.state))}
        found["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            found["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return found

    def restore(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Go back to a step, with the tensors that `tensors` gave there."""
        self.step = step
        self.model.load_state_dict(checkpoint.named("model.", tensors))
        states: dict[int, dict[str, Any]] = {}
        for name, tensor in checkpoint.named("optimizer.", tensors).items():
            index, entry = name.split(".")
            states.setdefault(int(index), {})[entry] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": states})
        self.state = joined(
            tuple(part.to(self.device) for _, part in sorted(checkpoint.named("state.", tensors).items()))
        )
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)


class Diverged(UserError):
    """A loss that is no number."""


def new_model(symbols: int, options: Options) -> CharModel:
    """The model that the options ask for, with fresh weights."""
    return CharModel(symbols, options.cell, options.hidden, options.layers, options.dropout or 0.0)


def new_optimizer(weights: list[torch.nn.Parameter], options: Options) -> torch.optim.Optimizer:
    """The optimiser that the options ask for. The weight decay is AdamW's; the others have none."""
    lr = options.lr or 0.0
    if options.optimizer == "sgd":
        return torch.optim.SGD(weights, lr)
    decay = options.weight_decay if options.optimizer == "adamw" else 0.0
    return torch.optim.AdamW(weights, lr, betas=(0.9, 0.99), weight_decay=decay, fused=True)


def factor(schedule: str, progress: float) -> float:
    """What the learning rate is multiplied by when a part of the run, in [0, 1), is over.

    `constant` is 1. The others rise from 0 to 1 during the first 2 % and fall to 0 at the end, along half a cosine wave
    (Loshchilov and Hutter 2017, without restarts) or a straight line.
    """
    if schedule == "constant":
        return 1.0
    if progress < WARM_UP:
        return progress / WARM_UP
    rest = (1 - progress) / (1 - WARM_UP)
    return rest if schedule == "linear" else (1 - math.cos(math.pi * rest)) / 2
