"""A character model that was trained, read from its folder."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from carrousel import checkpoint, memory
from carrousel.data.vocabulary import Vocabulary, letters_only
from carrousel.errors import UserError
from carrousel.tasks.text import CharModel

KIND = "text"  # in a checkpoint


@dataclass(frozen=True)
class Trained:
    """A model with the symbols that it knows."""

    model: CharModel
    vocabulary: Vocabulary
    letters: bool  # it was trained on lower case letters alone
    step: int  # of training

    def encode(self, text: str, name: str) -> Tensor:
        """The numbers of a text's characters [N], after it was cleaned as the training text was.

        Raises:
            UserError: a character that the model does not know.
        """
        return self.vocabulary.encode(letters_only(text) if self.letters else text, name)


def load(path: Path) -> Trained:
    """Read a model, on the CPU and ready to predict.

    Args:
        path: a folder that `carrousel train text` wrote, of which the best weights are taken, or the last if the run
            had nothing to validate on; or one checkpoint.

    Raises:
        UserError: it is not there, or not whole.
    """
    if path.is_dir():
        best, last = path / "best.safetensors", path / "last.safetensors"
        path = best if best.exists() else last
        if not path.exists():
            raise UserError(f"{path.parent} holds no checkpoint: name a folder that `carrousel train text --out` wrote")
    facts, tensors = read_checkpoint(path)
    options, vocabulary = facts["options"], Vocabulary(facts["symbols"])
    if len(vocabulary) != len(tensors["model.output.bias"]):
        raise UserError(
            f"{path} has {len(tensors['model.output.bias'])} symbols, and saved {len(vocabulary)}: an older carrousel "
            "trained it on halves of surrogate pairs as characters; train again, which joins them"
        )
    sizes = {name: options[name] for name in ("cell", "hidden", "layers", "dropout")}
    with memory.explained(lambda: f"the model in {path} is too large: train one with a lower --hidden or --layers"):
        model = CharModel(len(vocabulary), **sizes)
        model.load_state_dict(checkpoint.named("model.", tensors))
    return Trained(model.eval(), vocabulary, options["letters"], facts["step"])


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The facts and the tensors of a text model's checkpoint.

    Raises:
        UserError: it is not there, not whole, of something else, or larger than the memory.
    """
    with suppress(OSError):  # what is no file is reported when it is read
        memory.require(path.stat().st_size, str(path), "free some, or use a machine with more")
    facts, tensors = checkpoint.read(path)
    if facts.get("kind") != KIND:
        raise UserError(f"{path} is a checkpoint, but of no text model: {checkpoint.TRAINED}")
    return facts, tensors
