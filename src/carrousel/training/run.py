"""A run of training: from its start, or from its last checkpoint, to its end."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from carrousel import checkpoint, memory
from carrousel.errors import UserError
from carrousel.training import sizes
from carrousel.training.curve import draw
from carrousel.training.device import find_device
from carrousel.training.fit import find_misfit_of_run
from carrousel.training.folder import lock_folder
from carrousel.training.interrupt import Interrupt
from carrousel.training.loop import Loop
from carrousel.training.options import Options
from carrousel.training.progress import Display
from carrousel.training.ranks import Ranks
from carrousel.training.task import Data, Score, Task
from carrousel.training.trained import TRAINED, load_weights, read_checkpoint, refuse
from carrousel.training.trainer import ALONE, Diverged, Trainer


def train(
    task: Task,
    options: Options,
    out: Path,
    *,
    resume: bool = False,
    given: Collection[str] = (),
    quiet: bool = False,
    program: Sequence[str] = ("carrousel",),
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Train a model.

    Args:
        task: data, model, loss and metric.
        options: of the task's class.
        out: the folder for the checkpoints and the curve; made if it does not exist.
        resume: continue from the checkpoint in `out`, if there is one.
        given: the names of the options that were given explicitly; a run that is resumed uses no others.
        quiet: write nothing to stdout.
        program: how the command line was called; error messages name commands to repeat.
        ranks: this process, if several train together.

    Returns:
        The result, in types that JSON has; less of it where this is not the first of several processes.

    Raises:
        UserError: the input is wrong or the run cannot go on; what was saved before stays.
    """
    last = out / "last.safetensors"

    def start(stack: ExitStack) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Lock the folder, and read the checkpoint in it, if there is one."""
        if resume and not (last.exists() or options.has_data):
            raise UserError(f"--out {out} holds no checkpoint to resume: check its name, or name data to start with")
        stack.enter_context(lock_folder(out))
        return read_own(task, last, resume) if last.exists() else None

    with ExitStack() as stack:
        found = ranks.from_first(lambda: start(stack))
        if found is None:
            return Run(task, options.complete(), out, quiet, program, ranks).run()
        facts, tensors = found
        del found
        options = task.options.from_json(facts["options"]).resume_with(options, given)
        run = Run(task, options.complete(), out, quiet, program, ranks)
        run.restore(facts, tensors)
        del tensors  # a second copy of everything
        return run.run()


def read_own(task: Task, last: Path, resume: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The last checkpoint of a run.

    Raises:
        UserError: it is of another task, or is not to be resumed.
    """
    facts, tensors = read_checkpoint(last)
    if facts["task"] != task.name:
        raise UserError(f"--out {last.parent} holds a run of `train {facts['task']}`: choose another folder")
    if not resume:
        raise UserError(f"--out {last.parent} holds a run at step {facts['step']:,}: add --resume, or choose another")
    return facts, tensors


def find_device_of(options: Options, ranks: Ranks) -> torch.device:
    """The device that the options name.

    Raises:
        UserError: there is none, or several processes cannot train together there.
    """
    if ranks.count == 1:
        return find_device(options.device)
    if options.device not in ("auto", "cpu"):
        raise UserError(f"--device {options.device} is for one process: several train on the CPU, leave the option out")
    if options.batch < ranks.count:
        raise UserError(f"--batch {options.batch} is less than one for each of {ranks.count} processes: give more")
    return find_device("cpu")


class Run(Loop):
    """The loop with a folder, checkpoints and the screen.

    Args:
        task: what is trained.
        options: complete.
        out: the folder.
        quiet: write nothing to stdout.
        program: as for `train`.
        ranks: this process, if several train together.
    """

    def __init__(
        self, task: Task, options: Options, out: Path, quiet: bool, program: Sequence[str], ranks: Ranks = ALONE
    ) -> None:
        self.task: Task = task  # these and the data are here before the loop has a trainer, for error messages
        self.options: Options = options
        self.out = out
        again = [*program, "train", task.name, *options.to_repeat(), "--out", str(out), "--resume"]
        self.command: str = shlex.join(again)  # that continues this run
        self.ranks = ranks
        device = ranks.on_each(lambda: find_device_of(options, ranks))
        with memory.explained(lambda: task.less_data):
            self.data: Data = ranks.on_each(lambda: task.data(options, device))
        with self.explain_memory():
            super().__init__(Trainer(task, options, self.data, device, ranks))
        self.display: Display = Display(task.unit, quiet or not ranks.is_first)
        self.interrupt: Interrupt = Interrupt()
        self.signal: int = 0  # that interrupted the run; 0: none did
        self.saved_at: float = 0.0  # the seconds of the run before the last checkpoint
        self.saved_step: int = 0

    def run(self) -> dict[str, Any]:
        """Train, save, measure, draw; return the result."""
        with self.explain_memory():
            for note in self.data.notes:
                self.display.say(note)
            with self.display, self.interrupt:
                ended = self.train()
            if self.ranks.is_first:
                return self.report(ended)
            return {"ended": ended, "signal": self.signal}

    def train(self) -> str:
        """Train and save; return how it ended: finished, patience or interrupted."""
        try:
            self.save()
            ended = self.repeat_steps()
            self.save()
            if ended != "interrupted":
                self.validate()
                self.save()
        except Diverged as error:  # on all ranks
            if not self.ranks.is_first:
                raise UserError("") from None
            raise Diverged(f"{error}; the weights of step {self.saved_step:,} are saved in {self.out}") from None
        return ended

    def explain_memory(self) -> AbstractContextManager[None]:
        """If memory runs out, raise a UserError that says what the run takes, what to lower, and what was saved."""
        last = self.out / "last.safetensors"

        def advise() -> str:
            saved = f"{last} stays as it was saved last" if last.exists() else "nothing was saved yet"
            return f"{sizes.advise(self.task, self.options, self.data.facts)}; {saved}"

        return memory.explained(advise)

    # ---- what happens between the steps ----

    def is_interrupted(self) -> bool:
        """Whether a signal was received, by any of the processes."""
        self.signal = int(self.ranks.largest(self.interrupt.number))
        return bool(self.signal)

    def read_clock(self) -> float:
        """Seconds, by the clock of the first process."""
        return self.ranks.agree(super().read_clock())

    def measure(self) -> Score:
        """Measure the weights on the validation sample; the other processes wait for the first."""
        score = super().measure() if self.ranks.is_first else Score(0.0, 0)
        return replace(score, loss=self.ranks.agree(score.loss))

    def after_step(self) -> None:
        """Save if that is due."""
        if self.seconds - self.saved_at >= self.options.save_every:
            self.save()

    def record(self) -> None:
        """After a step: update the curve and the screen, and validate if that is due."""
        super().record()
        progress = min(1.0, self.progress(self.trainer.step, self.seconds))
        left = self.seconds * (1 - progress) / progress
        loss = self.losses[-1] if self.losses else self.curve.train[-1].loss
        self.display.tick(time.monotonic(), progress, loss, self.rate, left)

    def after_validation(self, score: Score, is_best: bool) -> None:
        """Save the weights if they are the best, and print the score."""
        if not self.ranks.is_first:
            return
        if is_best:
            weights = {f"model.{name}": tensor for name, tensor in self.trainer.model.state_dict().items()}
            checkpoint.write(self.out / "best.safetensors", self.facts(), weights, self.advice())
        words = self.task.describe(self.task.numbers(score))
        self.display.report_validation(self.trainer.step, self.seconds, self.curve.train[-1].loss, words)

    # ---- checkpoints ----

    def facts(self) -> dict[str, Any]:
        """What a checkpoint contains beside its tensors."""
        return {
            "task": self.task.name,
            "options": self.options.to_json(),
            "data": self.data.facts,
            "digest": self.data.digest,
            "step": self.trainer.step,
            "seconds": self.seconds,
            "training": self.training,
            "losses": self.losses,
            "curve": self.curve.to_json(),
        }

    def save(self) -> None:
        """Write the last checkpoint, if the loss of the next step is finite."""
        self.trainer.check_next()
        tensors = self.trainer.tensors()
        if self.ranks.is_first:
            checkpoint.write(self.out / "last.safetensors", self.facts(), tensors, self.advice())
        self.saved_step, self.saved_at = self.trainer.step, self.seconds

    def advice(self) -> str:
        """What to do if a file cannot be written."""
        return f"an earlier checkpoint stays: free some space, then continue with: {self.command}"

    def restore(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Return to a checkpoint.

        Raises:
            UserError: the data differ from those of the run, or the tensors do not fit.
        """
        if facts["digest"] != self.data.digest:
            raise UserError(f"--out {self.out} was trained on other data: name the same, or choose another --out")
        with self.explain_memory():
            if misfit := find_misfit_of_run(self.trainer, facts["step"], tensors):
                raise refuse(self.out / "last.safetensors", misfit)
            self.trainer.restore(facts["step"], tensors)
        self.continue_from(facts)
        self.saved_step, self.saved_at = self.trainer.step, self.seconds

    # ---- the result ----

    def report(self, ended: str) -> dict[str, Any]:
        """Return the result; write it to run.json, with options and curve, and draw the curve in loss.png."""
        weights = sizes.count(self.trainer.model)
        best = self.curve.best
        is_done = ended != "interrupted"
        valid = self.task.numbers(self.best_score()) if best and is_done else None
        pictures = self.task.pictures(self.trainer.model, self.data) if is_done else {}
        title = f"{self.task.name}, {weights:,} weights"
        pictures = {"loss.png": draw(self.curve, title, self.task.unit, self.task.loss_unit), **pictures}
        result = {
            "task": self.task.name,
            "out": str(self.out),
            "ended": ended,
            "signal": self.signal,
            "resume": self.command,
            "step": self.trainer.step,
            self.task.unit: self.trainer.step * self.options.units,
            "seconds": self.seconds,
            f"{self.task.unit}_per_second": self.rate,
            "weights": weights,
            "train": self.train_score(),
            "valid": valid,
            "best_step": best.step if best else None,
            "notes": list(self.data.notes),
            "files": ["last.safetensors", *(["best.safetensors"] if best else []), *pictures, "run.json"],
        }
        for name, content in pictures.items():
            checkpoint.replace(self.out / name, [content], self.advice())
        report = {"result": result, "options": self.options.to_json(), "curve": self.curve.to_json()}
        checkpoint.replace(self.out / "run.json", [json.dumps(report, indent=1).encode()], self.advice())
        return result

    def train_score(self) -> dict[str, float] | None:
        """The last point of the training curve: the mean loss of these units when they were trained on."""
        if not self.curve.train:
            return None
        before = self.curve.train[-2].seen if len(self.curve.train) > 1 else 0
        last = self.curve.train[-1]
        return self.task.numbers(Score(last.loss, last.seen - before))

    def best_score(self) -> Score:
        """Load the best weights, and measure them on all validation data."""
        best = self.out / "best.safetensors"
        _, tensors = checkpoint.read(best, TRAINED)
        load_weights(self.trainer.model, tensors, best)
        return self.trainer.measure()
