"""skorch: a scikit-learn classifier around an LSTM."""

from __future__ import annotations

import torch
from skorch import NeuralNetClassifier

from bench.client_models.measured import Classifier, Measured, Swap, sentences


def make(swap: Swap) -> Measured:
    """The net is initialised, its module swapped; the optimiser, which it has already, goes on."""
    torch.manual_seed(0)
    text, labels = sentences(256, 60)
    net = NeuralNetClassifier(
        Classifier,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        batch_size=32,
        train_split=None,
        verbose=0,
        iterator_train__shuffle=False,
    )
    net.initialize()
    swap(net.module_)

    def fit() -> float:
        net.partial_fit(text, labels, epochs=1)
        return net.history[-1, "train_loss"]

    return Measured("LSTM 64-128-128, 60 steps", "partial_fit, 8 batches of 32", lambda: net.forward(text), fit)
