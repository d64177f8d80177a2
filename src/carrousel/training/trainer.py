"""A model in training: one step, a measurement, and everything that changes as facts and tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from carrousel import checkpoint
from carrousel.errors import UserError
from carrousel.training import sizes
from carrousel.training.options import Options
from carrousel.training.ranks import Ranks
from carrousel.training.task import Data, Score, State, Task

ALONE = Ranks()
STATE_AXIS = 1  # along which the streams of a carried state lie
WARM_UP = 0.02  # the part of a run in which the learning rate rises from 0 (cosine, linear)


class Trainer:
    """A model, its optimizer, and the state that is carried from step to step.

    Args:
        task: what is trained.
        options: complete.
        data: on the device.
        device: where to train.
        ranks: this process, if several train together, each on its part of every batch.

    Raises:
        UserError: there is too little memory.
    """

    def __init__(self, task: Task, options: Options, data: Data, device: torch.device, ranks: Ranks = ALONE) -> None:
        torch.manual_seed(options.seed)
        self.task = task
        self.options = options
        self.data = data
        self.device = device
        self.ranks = ranks
        if device.type == "cpu":
            sizes.require(task, options, data.facts)
        self.model: nn.Module = task.model(options, data.facts).to(device)
        self.weights: list[nn.Parameter] = list(self.model.parameters())
        self.optimizer: torch.optim.Optimizer = new_optimizer(self.weights, options)
        self.lr: float = self.optimizer.param_groups[0]["lr"]  # the highest
        self.step: int = 0
        self.state: State = ()
        if ranks.count > 1:
            torch.manual_seed(options.seed + ranks.rank)  # the weights are the same, the masks of dropout are not
        self.loss_of: Callable[[Any, State], tuple[Tensor, State]] = ranks.train_together(LossOf(task, self.model))

    def advance(self, progress: float) -> float:
        """Train on the next batch: backpropagation, truncated where the carried state comes in.

        Args:
            progress: the part of the run that is over, in [0, 1); sets the learning rate.

        Returns:
            The loss before the step.

        Raises:
            Diverged: the loss or the norm of its gradient is not finite; the weights are unchanged.
        """
        batch, part = self.next_batch()
        loss, state = self.loss_of(batch, self.state)
        self.optimizer.zero_grad()
        (loss if self.ranks.count == 1 else loss * (part * self.ranks.count)).backward()  # the mean over ranks follows
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self.options.clip or math.inf)
        value = self.ranks.sum(loss.item() * part)
        self.require_finite(value, "loss")
        self.require_finite(norm.item(), "gradient's norm")
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * schedule_factor(self.options.schedule, progress)
        self.optimizer.step()
        self.state = tuple(part.detach() for part in state)
        self.step += 1
        return value

    def next_batch(self) -> tuple[Any, float]:
        """What this process trains on in the next step, and its part of the mean loss."""
        batch = self.data.batch(self.step)
        return (batch, 1.0) if self.ranks.count == 1 else self.task.share(batch, self.ranks)

    def measure(self, sample: int | None = None) -> Score:
        """Measure the current weights on the validation data, or on about `sample` units of it."""
        score = self.task.measure(self.model, self.data.valid, sample)
        self.require_finite(score.loss, "validation loss")
        return score

    @torch.no_grad()
    def check_next(self) -> None:
        """Raise Diverged if the next step would fail; called before weights are saved over good ones."""
        batch, part = self.next_batch()
        self.model.eval()
        loss, _ = self.task.loss(self.model, batch, self.state)
        self.model.train()
        self.require_finite(self.ranks.sum(loss.item() * part), "loss")

    def require_finite(self, value: float, name: str) -> None:
        """Raise Diverged if a value is infinite or not a number."""
        if not math.isfinite(value):
            raise Diverged(
                f"the {name} became {value} at step {self.step + 1}; lower --lr (now {self.lr:g}) "
                f"or --clip (now {self.options.clip:g})"
            )

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that the same next step needs: weights, optimizer, carried state, random generators."""
        found = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for index, entries in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{index}.{name}": value for name, value in entries.items() if value is not None}
        found |= {f"state.{index}": self.ranks.gather(part, STATE_AXIS) for index, part in enumerate(self.state)}
        found["random.cpu"] = self.ranks.gather(torch.get_rng_state()[None], 0)
        if self.device.type == "cuda":
            found["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return found

    def restore(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Return to a step, with the tensors that `tensors` returned there."""
        self.step = step
        self.model.load_state_dict(checkpoint.named("model.", tensors))
        states: dict[int, dict[str, Any]] = {}
        for name, tensor in checkpoint.named("optimizer.", tensors).items():
            index, entry = name.split(".")
            states.setdefault(int(index), {})[entry] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": states})
        parts = checkpoint.named("state.", tensors)
        self.state = tuple(self.own_part(parts[name]).to(self.device) for name in sorted(parts, key=int))
        generators = tensors["random.cpu"]
        if len(generators) == self.ranks.count:
            torch.set_rng_state(generators[self.ranks.rank].clone())  # which takes no part of a tensor
        else:  # saved by more or fewer processes: other masks than these would have had
            torch.manual_seed(hash((self.options.seed, step, self.ranks.rank)) % 2**63)
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)

    def own_part(self, state: Tensor) -> Tensor:
        """This process's part of a state that was gathered."""
        return state.narrow(STATE_AXIS, *self.ranks.part(state.shape[STATE_AXIS])).contiguous()


class LossOf(nn.Module):
    """A task's loss as the output of a module, of which torch's DistributedDataParallel averages the gradients."""

    def __init__(self, task: Task, model: nn.Module) -> None:
        super().__init__()
        self.task = task
        self.model = model

    def forward(self, batch: Any, state: State) -> tuple[Tensor, State]:
        """The loss of a batch, and the state after it."""
        return self.task.loss(self.model, batch, state)


class Diverged(UserError):
    """A loss or a gradient is not finite."""


def new_optimizer(weights: list[torch.nn.Parameter], options: Options) -> torch.optim.Optimizer:
    """The optimizer that the options name; only AdamW decays the weights."""
    lr = options.lr or 0.0
    if options.optimizer == "sgd":
        return torch.optim.SGD(weights, lr)
    decay = options.weight_decay if options.optimizer == "adamw" else 0.0
    return torch.optim.AdamW(weights, lr, betas=(0.9, 0.99), weight_decay=decay, fused=True)


def schedule_factor(schedule: str, progress: float) -> float:
    """The factor of the learning rate after a part of the run, in [0, 1).

    `constant` is 1. The others rise from 0 to 1 during the first 2 % and fall to 0 at the end, along half a cosine wave
    (Loshchilov and Hutter 2017, without restarts) or a straight line.
    """
    if schedule == "constant":
        return 1.0
    if progress < WARM_UP:
        return progress / WARM_UP
    rest = (1 - progress) / (1 - WARM_UP)
    return rest if schedule == "linear" else (1 - math.cos(math.pi * rest)) / 2
