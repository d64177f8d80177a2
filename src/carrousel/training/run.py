"""A run of `carrousel train text`: from its start, or from its last checkpoint, to its end."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import Tensor

from carrousel import checkpoint, memory
from carrousel.errors import UserError
from carrousel.tasks.evaluate import Score
from carrousel.training import sizes, start
from carrousel.training.curve import Curve, Point, draw
from carrousel.training.interrupt import Interrupt
from carrousel.training.options import Options
from carrousel.training.progress import Display
from carrousel.training.trained import KIND, read_checkpoint
from carrousel.training.trainer import Diverged, Trainer

POINTS = 100  # of the training curve
VALIDATIONS = 20  # in a run
SAMPLE = 50_000  # characters of the validation text, or a few more, that each validation measures but the final one
SPACING = 5  # so many times the characters of a validation are trained on before the next one, at least


def train_text(
    options: Options, out: Path, *, resume: bool = False, given: Collection[str] = (), quiet: bool = False
) -> dict[str, Any]:
    """Train a character language model on text.

    Args:
        options: what to do.
        out: the folder for the checkpoints and the curve; made if it is not there.
        resume: go on from the checkpoint in `out`, if there is one.
        given: the names of the options that were spelled out; a run that is resumed takes no others.
        quiet: write nothing to stdout.

    Returns:
        What came of it, as JSON holds it.

    Raises:
        UserError: something that the user can mend. What was saved before stays.
    """
    last = out / "last.safetensors"
    if resume and not (last.exists() or options.files or options.stdlib):
        raise UserError(f"--out {out} holds no checkpoint to go on with: check its name, or name a text to start with")
    with start.folder(out):
        if not last.exists():
            return Run(options.checked(), out, quiet).to_the_end()
        facts, tensors = read_checkpoint(last)
        if not resume:
            raise UserError(f"--out {out} holds a run at step {facts['step']:,}: add --resume, or choose another")
        options = Options.from_facts(facts["options"]).resumed(options, given)
        run = Run(options.checked(), out, quiet)
        run.restore(facts, tensors)
        del tensors  # a second copy of all, else until the end
        return run.to_the_end()


class Run:
    """A trainer with its clock, its curve and its folder.

    Args:
        options: checked.
        out: the folder.
        quiet: write nothing to stdout.
    """

    def __init__(self, options: Options, out: Path, quiet: bool) -> None:
        self.options, self.out = options, out
        with memory.explained(lambda: "train on a smaller text"):
            self.corpus = start.corpus(options)
        device = start.device(options.device)
        with self.explained():
            self.trainer = Trainer(options, self.corpus, device)
            self.valid = self.corpus.valid.to(device)
        self.display = Display(quiet)
        self.curve = Curve()
        self.losses: list[float] = []  # since the last point of the curve
        self.seconds = 0.0  # of this run; not those between a stop and its resumption
        self.training = 0.0  # of them, those spent in steps
        self.saved_at = 0.0  # of them, those before the last checkpoint
        self.saved_step = 0
        self.batch = options.batch * options.length  # characters of a step
        self.steps = options.steps
        if options.epochs is not None:
            self.steps = math.ceil(options.epochs * len(self.corpus.train) / self.batch)

    def to_the_end(self) -> dict[str, Any]:
        """Train, save, measure, draw."""
        with self.explained():
            with self.display, Interrupt() as interrupt:
                ended = self.train(interrupt)
            return self.result(ended, interrupt.number)

    def train(self, interrupt: Interrupt) -> str:
        """Train and save; says how it ended."""
        try:
            self.save()
            ended = self.loop(interrupt)
            self.save()
            if ended != "interrupted":
                self.validate()
                self.save()
        except Diverged as error:
            raise Diverged(f"{error}; the weights of step {self.saved_step:,} are kept in {self.out}") from None
        return ended

    def explained(self) -> AbstractContextManager[None]:
        """Where memory is out, say what the run takes, what to lower, and what was saved."""
        symbols, last = len(self.corpus.vocabulary), self.out / "last.safetensors"

        def advice() -> str:
            saved = f"{last} stays as it was saved last" if last.exists() else "nothing was saved yet"
            return f"{sizes.advice(symbols, self.options)}; {saved}"

        return memory.explained(advice)

    def loop(self, interrupt: Interrupt) -> str:
        """Train until the end that is set, until patience is exhausted, or until a signal comes; says which."""
        began = time.monotonic() - self.seconds
        while self.portion(self.trainer.step, self.seconds) < 1:
            if interrupt.number:
                return "interrupted"
            if self.options.patience and self.curve.since_best >= self.options.patience:
                return "patience"
            before = time.monotonic()
            self.losses.append(self.trainer.advance(self.portion(self.trainer.step + 0.5, self.seconds)))
            now = time.monotonic()
            self.training += now - before
            self.seconds = now - began
            self.record()
            self.seconds = time.monotonic() - began  # a validation takes its time
            if self.seconds - self.saved_at >= self.options.save_every:
                self.save()
        return "finished"

    def portion(self, step: float, seconds: float) -> float:
        """The part of the run that is over after so many steps, or so many seconds: whichever sets its end."""
        return step / self.steps if self.steps else seconds / (60 * (self.options.minutes or math.inf))

    def due(self, points: list[Point], times: int) -> bool:
        """Whether one more of `times` evenly spaced points has come, on the whole run."""
        step, seconds = (points[-1].step, points[-1].seconds) if points else (0, 0.0)
        return int(times * self.portion(self.trainer.step, self.seconds)) > int(times * self.portion(step, seconds))

    def record(self) -> None:
        """After a step: what belongs on the curve, and on the screen."""
        if self.due(self.curve.train, POINTS):
            self.curve.train.append(self.point(math.fsum(self.losses) / len(self.losses)))
            self.losses.clear()
        since = self.trainer.step - (self.curve.valid[-1].step if self.curve.valid else 0)
        if since * self.batch >= SPACING * min(SAMPLE, len(self.valid)) and self.due(self.curve.valid, VALIDATIONS):
            self.validate()
        portion = min(1.0, self.portion(self.trainer.step, self.seconds))
        left = self.seconds * (1 - portion) / portion
        loss = self.losses[-1] if self.losses else self.curve.train[-1].nats
        self.display.tick(time.monotonic(), portion, loss, self.rate(), left)

    def rate(self) -> float:
        """Characters a second, in steps."""
        return self.trainer.step * self.batch / max(self.training, 1e-9)

    def point(self, nats: float) -> Point:
        """A loss measured now."""
        return Point(self.trainer.step, self.trainer.step * self.batch, self.seconds, nats)

    def validate(self) -> None:
        """Measure the weights on the validation sample, unless that was just done; keep them if they are the best."""
        if not len(self.valid) or (self.curve.valid and self.curve.valid[-1].step == self.trainer.step):
            return
        score = self.trainer.measure(self.valid, SAMPLE)
        best = self.curve.best
        self.curve.valid.append(self.point(score.nats_per_char))
        if best is None or score.nats_per_char < best.nats:
            weights = {f"model.{name}": tensor for name, tensor in self.trainer.model.state_dict().items()}
            checkpoint.write(self.out / "best.safetensors", self.facts(), weights)
        self.display.validation(self.trainer.step, self.seconds, self.curve.train[-1].nats, score)

    def facts(self) -> dict[str, Any]:
        """All that a checkpoint says beside its tensors."""
        return {
            "kind": KIND,
            "options": self.options.as_facts(),
            "symbols": self.corpus.vocabulary.symbols,
            "digest": self.corpus.digest,
            "step": self.trainer.step,
            "seconds": self.seconds,
            "training": self.training,
            "losses": self.losses,
            "curve": self.curve.as_facts(),
        }

    def save(self) -> None:
        """Write the last checkpoint, once its weights have shown that they give a finite loss."""
        self.trainer.check_next()
        checkpoint.write(self.out / "last.safetensors", self.facts(), self.trainer.tensors())
        self.saved_step, self.saved_at = self.trainer.step, self.seconds

    def restore(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Go back to a checkpoint.

        Raises:
            UserError: the text is not that of the run.
        """
        if facts["digest"] != self.corpus.digest:
            raise UserError(f"--out {self.out} was trained on another text: give it the same, or choose another --out")
        with self.explained():
            self.trainer.restore(facts["step"], tensors)
        self.seconds, self.training = facts["seconds"], facts["training"]
        self.losses, self.curve = facts["losses"], Curve.from_facts(facts["curve"])
        self.saved_step, self.saved_at = self.trainer.step, self.seconds

    def result(self, ended: str, signal: int) -> dict[str, Any]:
        """What came of the run; also written to run.json, with options and curve, and drawn in loss.png."""
        best = self.curve.best
        result = {
            "out": str(self.out),
            "ended": ended,
            "signal": signal,
            "step": self.trainer.step,
            "characters": self.trainer.step * self.batch,
            "seconds": self.seconds,
            "characters_per_second": self.rate(),
            "weights": self.trainer.model.size(),
            "train": self.train_score(),
            "valid": self.best_score().numbers() if best and ended != "interrupted" else None,
            "best_step": best.step if best else None,
        }
        result["files"] = ["last.safetensors", *(["best.safetensors"] if best else []), "loss.png", "run.json"]
        title = f"{self.options.cell}, {result['weights']:,} weights"
        checkpoint.replace(self.out / "loss.png", [draw(self.curve, title)])
        report = {"result": result, "options": self.options.as_facts(), "curve": self.curve.as_facts()}
        checkpoint.replace(self.out / "run.json", [json.dumps(report, indent=1).encode()])
        return result

    def train_score(self) -> dict[str, float] | None:
        """The last point of the training curve: the mean loss of those characters when they were learned."""
        if not self.curve.train:
            return None
        before = self.curve.train[-2].characters if len(self.curve.train) > 1 else 0
        last = self.curve.train[-1]
        return Score(last.nats, last.characters - before).numbers()

    def best_score(self) -> Score:
        """The score of the best weights on the whole validation text."""
        _, tensors = checkpoint.read(self.out / "best.safetensors")
        self.trainer.model.load_state_dict(checkpoint.named("model.", tensors))
        return self.trainer.measure(self.valid)
