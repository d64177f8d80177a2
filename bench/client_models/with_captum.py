"""captum: integrated gradients of the words that an LSTM read."""

from __future__ import annotations

import torch
from captum.attr import LayerIntegratedGradients

from bench.client_models.measured import Classifier, Measured, Swap, sentences


def make(swap: Swap) -> Measured:
    """Attributions to the embedding, by hooks on it."""
    torch.manual_seed(0)
    text, labels = sentences(8, 60)
    model = Classifier().eval()
    swap(model)
    method = LayerIntegratedGradients(model, model.embedding)

    def fit() -> float:
        attributions = method.attribute(text, target=labels, n_steps=50)
        return attributions.abs().mean().item()

    return Measured(
        "LSTM 64-128-128, 60 steps",
        "LayerIntegratedGradients, 50 steps for 8 texts",
        lambda: method.attribute(text, target=labels, n_steps=10),
        fit,
    )
