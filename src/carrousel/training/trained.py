"""A trained model, read from the folder of its run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from carrousel import checkpoint, memory
from carrousel.errors import UserError
from carrousel.training.fit import find_misfit
from carrousel.training.options import Options, check
from carrousel.training.task import Task

TRAINED = "name a folder that `carrousel train ... --out` wrote"


@dataclass(frozen=True)
class Trained:
    """A model in evaluation mode on the CPU, with its task, options, `Data.facts`, and its step of training."""

    task: Task
    model: nn.Module
    options: Options
    facts: dict[str, Any]
    step: int

    def with_beam(self, width: int | None) -> Trained:
        """The same with so many hypotheses of beam search; None: as many as its options say.

        Raises:
            UserError: models of its task search with no beam, or the number is not allowed.
        """
        if width is None:
            return self
        about = self.options.describe().get("beam")
        if about is None:
            raise UserError(f"--beam is for translation: models of the task {self.task.name} have no beam search")
        check("beam", width, about)
        changes: dict[str, Any] = {"beam": width}
        return replace(self, options=replace(self.options, **changes))


def load(path: Path, tasks: Mapping[str, Task]) -> Trained:
    """Read a trained model.

    Args:
        path: the folder of a run, of which the best weights are read, or the last if nothing was validated; or one of
            its checkpoints.
        tasks: the tasks that there are, by name.

    Raises:
        UserError: there is none, or it is damaged.
    """
    if path.is_dir():
        best, last = path / "best.safetensors", path / "last.safetensors"
        path = best if best.exists() else last
        if not path.exists():
            raise UserError(f"{path.parent} holds no checkpoint: {TRAINED}")
    facts, tensors = read_checkpoint(path)
    if facts["task"] not in tasks:
        raise UserError(f"{path} is of the task {facts['task']}, and there are {', '.join(tasks)}: {TRAINED}")
    task = tasks[facts["task"]]
    options = task.options.from_json(facts["options"])
    lower = " or ".join(f"--{name}" for name in options.sizes("weights")) or "size"
    with memory.explained(lambda: f"the model in {path} is too large: train one with a lower {lower}"):
        model = task.model(options, facts["data"])
        load_weights(model, tensors, path)
    return Trained(task, model.eval(), options, facts["data"], facts["step"])


def load_weights(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Give a model the weights of a checkpoint.

    Raises:
        UserError: they are of other names, types or shapes, or not finite, which no run saves.
    """
    found = checkpoint.named("model.", tensors)
    if misfit := find_misfit(found, model.state_dict()):
        raise refuse(path, misfit)
    for name, tensor in found.items():
        if not tensor.isfinite().all():
            raise refuse(path, f"{name} is not finite")
    model.load_state_dict(found)


def refuse(path: Path, misfit: str) -> UserError:
    """The error for a checkpoint whose tensors do not fit, and how."""
    return UserError(f"{path} does not fit this version of its task: train the model again ({misfit})")


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The facts and the tensors of a checkpoint of a run.

    Raises:
        UserError: there is none; it is damaged, of something else, or larger than the memory.
    """
    with suppress(OSError):  # a missing file is reported when it is read
        memory.require(path.stat().st_size, str(path), "free some, or use a machine with more")
    facts, tensors = checkpoint.read(path, TRAINED)
    if "task" not in facts:
        raise UserError(f"{path} is a checkpoint, but not one of this version's `carrousel train`: {TRAINED}")
    return facts, tensors
