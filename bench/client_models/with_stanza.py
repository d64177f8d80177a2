"""stanza: its language identification, a bidirectional LSTM over characters."""

from __future__ import annotations

import string

import torch
from stanza.models.langid.trainer import Trainer
from torch import Tensor

from bench.client_models.measured import Measured, Swap

CHARACTERS = {character: k for k, character in enumerate(["<PAD>", "UNK", *string.printable])}


def make(swap: Swap) -> Measured:
    """The trainer's model at its usual sizes, distinguishing eight languages of random letters."""
    torch.manual_seed(0)
    trainer = Trainer(
        {
            "model_path": "",
            "char_to_idx": CHARACTERS,
            "tag_to_idx": {str(k): k for k in range(8)},
            "lang_weights": torch.ones(8),
        }
    )
    swap(trainer.model)
    trainer.model.build_lang_mask("cpu")
    letters = torch.randint(2, len(CHARACTERS), (32, 60), generator=torch.Generator().manual_seed(0))
    languages = letters[:, 0] % 8

    def outputs() -> Tensor:
        with torch.no_grad():
            return trainer.model.eval()(letters)

    def fit() -> float:
        for _ in range(4):
            trainer.update((letters, languages))
        with torch.no_grad():
            return trainer.model.loss(trainer.model(letters), languages).item()

    return Measured("LangIDBiLSTM, 150-150-150, 60 steps", "Trainer.update, 4 batches of 32", outputs, fit)
