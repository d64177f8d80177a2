"""What the training loop asks of a task: data, model, loss and metric.

A task is one file in `carrousel/tasks/` with an instance of a subclass of `Task` at its top level. The command
`carrousel train NAME` with all its options, checkpoints, resuming, the learning curve, `eval` and (for tasks that
generate) `sample` come from what is declared here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from carrousel.errors import UserError
from carrousel.training.options import Options
from carrousel.training.ranks import Ranks

State = tuple[Tensor, ...]  # carried from step to step, each [*, B, *]; () at the start, and for models without


@dataclass(frozen=True)
class Score:
    """A measurement of a model.

    Args:
        loss: the mean loss; the weights with the lowest are the best.
        count: how many units (characters, sequences, ...) it is the mean of.
        more: other numbers by name, for example {"accuracy": 0.9}.
        notes: what people should know of the data, a line each, for example what was left out.
    """

    loss: float
    count: int
    more: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Data:
    """What a run trains on and is measured on.

    Args:
        batch: the batch of a step, by the step's number from 0. It depends on nothing else, so that a resumed run
            continues with the same batches.
        size: units in one epoch.
        valid: what `Task.measure` takes; its length is its size in units, 0 if there is nothing to validate on.
        facts: what the model needs beside its weights, in types that JSON has; every checkpoint contains it.
        digest: differs for different data; a run is resumed only with the same.
        notes: what people should know of the data, a line each, for example what was left out.
    """

    batch: Callable[[int], Any]
    size: int
    valid: Sized
    facts: dict[str, Any]
    digest: str
    notes: tuple[str, ...] = ()


class Task(ABC):
    """Data, model, loss and metric under a name; the training loop knows nothing else of a task.

    Attributes:
        name: the task's name in `carrousel train NAME`.
        summary: one sentence for the help text.
        details: more of it, or "".
        examples: two commands without "carrousel train NAME", with what each does.
        unit: what is counted, in the plural: "characters".
        loss_unit: what the loss is measured in: "nats a character". For nats, pictures have a second axis in bits.
        sample: how many units of the validation data each validation measures, except the last one.
        batch_axes: of each tensor of a batch, the axis along which its sequences or streams lie.
        less_data: what to do if the data does not fit into memory.
        options: the class of its options.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    details: ClassVar[str] = ""
    examples: ClassVar[tuple[tuple[str, str], ...]] = ()
    unit: ClassVar[str] = "sequences"
    loss_unit: ClassVar[str] = "nats"
    sample: ClassVar[int] = 50_000
    batch_axes: ClassVar[tuple[int, ...]] = (0,)
    less_data: ClassVar[str] = "train on less data"
    options: ClassVar[type[Options]] = Options

    @abstractmethod
    def data(self, options: Any, device: torch.device) -> Data:
        """Read the data that the options name.

        Raises:
            UserError: it cannot be read, or is too small.
        """

    @abstractmethod
    def model(self, options: Any, facts: dict[str, Any]) -> nn.Module:
        """A model with new weights, for data with these facts."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any, state: State) -> tuple[Tensor, State]:
        """The mean loss of a batch, and the state for the next one; state is () at the start."""

    def share(self, batch: Any, ranks: Ranks) -> tuple[Any, float]:
        """The part of a batch that one of several processes trains on, and its part of the mean loss.

        Args:
            batch: what `Data.batch` returned; as a rule tensors, divided along `batch_axes`.
            ranks: which process, of how many.
        """
        B = batch[0].shape[self.batch_axes[0]]
        first, count = ranks.part(B)
        return tuple(each.narrow(axis, first, count) for each, axis in zip(batch, self.batch_axes)), count / B

    @abstractmethod
    def measure(self, model: nn.Module, valid: Any, sample: int | None = None) -> Score:
        """Measure a model; leaves its mode as it was.

        Args:
            model: on the device of `valid`.
            valid: `Data.valid`, or what `read` returns.
            sample: measure about so many units. Default: all.
        """

    def numbers_in_step(self, options: Any, facts: dict[str, Any]) -> int:
        """How many numbers a step stores at least, beside the weights; a run that cannot fit is refused."""
        return 0

    def numbers(self, score: Score) -> dict[str, float]:
        """A score in types that JSON has, with the count under the name of `unit`."""
        return {"loss": score.loss, **score.more, self.unit: score.count}

    def describe(self, numbers: dict[str, float]) -> str:
        """What `numbers` returned, in a few words for people."""
        more = [f"{name} {value:.4f}" for name, value in numbers.items() if name not in ("loss", self.unit)]
        return "  ".join([f"loss {numbers['loss']:.4f} {self.loss_unit}", *more])

    def pictures(self, model: nn.Module, data: Data) -> dict[str, bytes]:
        """Pictures that a finished run leaves beside loss.png: the content of each file, by its name.

        Args:
            model: with the best weights, or the last if nothing was validated.
            data: of the run.
        """
        return {}

    def read(self, trained: Any, file: str, encoding: str, device: torch.device) -> Any:
        """What `carrousel eval` measures a trained model on.

        Args:
            trained: a `Trained`.
            file: its name; - is stdin.
            encoding: of the file.
            device: where the model is.

        Raises:
            UserError: the file cannot be read, or the task has no files.
        """
        raise UserError(f"carrousel eval does not read files for the task {self.name}")

    def select_rows(self, data: Any, rows: str) -> Any:
        """What `read` returned, without what is not in a range of rows: `carrousel eval --rows`.

        Args:
            data: what `read` returned.
            rows: "START:END".

        Raises:
            UserError: it is not a range, or the task has no rows.
        """
        raise UserError(f"--rows {rows} does not fit a model of the task {self.name}: leave it out")

    def predict(self, trained: Any, file: str, encoding: str, device: torch.device) -> Iterator[dict[str, Any]]:
        """The rows that `carrousel predict` prints: the same columns in each, by name, in their order.

        Args: as for `read`.

        Raises:
            UserError: the file cannot be read, or models of this task predict no table.
        """
        raise UserError(f"carrousel predict does not work for models of the task {self.name}")

    def generate(self, trained: Any, prompt: str, length: int, temperature: float, seed: int) -> Iterator[str]:
        """The text that `carrousel sample` prints, piece by piece.

        Raises:
            UserError: an argument is not allowed, or models of this task write no text.
        """
        raise UserError(f"models of the task {self.name} write no text: sample from one of `carrousel train text`")
