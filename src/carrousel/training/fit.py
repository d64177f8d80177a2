"""Whether the tensors of a checkpoint are those that a trainer needs: torch looks at the shapes of the weights only.

What torch does not look at crashes: its fused optimizers write into the memory of a state, whatever its size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from carrousel.training.trainer import Trainer


def find_misfit(found: dict[str, Tensor], expected: dict[str, Tensor]) -> str:
    """What differs first in names, types or shapes, in words; "" if nothing does."""
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} is not part of it"
        if describe(found[name]) != describe(expected[name]):
            return f"{name} is {describe(found[name])} instead of {describe(expected[name])}"
    return ""


def describe(tensor: Tensor) -> str:
    """The type and the shape of a tensor."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def find_misfit_of_run(trainer: Trainer, step: int, tensors: dict[str, Tensor]) -> str:
    """What differs in the checkpoint of a run; as `find_misfit`.

    Args:
        trainer: new, with the run's options.
        step: of the checkpoint.
        tensors: of the checkpoint.
    """
    found = {name: tensor for name, tensor in tensors.items() if name != "random.cuda"}
    expected = {f"model.{name}": tensor for name, tensor in trainer.model.state_dict().items()}
    expected |= optimizer_tensors(trainer, found)
    for index, part in enumerate(next_state(trainer, step) if step else ()):
        name = f"state.{index}"
        expected[name] = part
        if name in found and found[name].dim() == part.dim():  # it is that of all processes
            found[name] = trainer.own_part(found[name])
    generators = found.get("random.cpu", torch.empty(0))
    processes = len(generators) if generators.dim() == 2 else 1  # that saved it, more or fewer than now
    expected["random.cpu"] = torch.get_rng_state().expand(processes, -1)
    return find_misfit(found, expected)


def optimizer_tensors(trainer: Trainer, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """What AdamW stores for each weight, unless nothing is found for it: it had no gradient yet. SGD stores nothing."""
    expected: dict[str, Tensor] = {}
    if isinstance(trainer.optimizer, torch.optim.SGD):
        return expected
    for index, weight in enumerate(trainer.weights):
        entries = {"step": torch.tensor(0.0), "exp_avg": weight, "exp_avg_sq": weight}
        of_weight = {f"optimizer.{index}.{name}": tensor for name, tensor in entries.items()}
        if of_weight.keys() & found.keys():
            expected |= of_weight
    return expected


@torch.no_grad()
def next_state(trainer: Trainer, step: int) -> tuple[Tensor, ...]:
    """The state that is carried behind a step of this process."""
    trainer.step = step
    batch, _ = trainer.next_batch()
    trainer.model.eval()
    _, state = trainer.task.loss(trainer.model, batch, ())
    trainer.model.train()
    return state
