"""The translator of `train translate` in torch: nn.LSTM, packed in the encoder, padded in the decoder; all logits."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carrousel.data.symbol_pairs import PairBatch
from carrousel.tasks.translate import Translate, TranslateOptions
from carrousel.tasks.translation.model import Translator
from carrousel.training.task import State

Result = tuple[Tensor, tuple[Tensor, Tensor]]


class Encoder(nn.Module):
    """torch.nn.LSTM on packed sequences, called as our layers are."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, x: Tensor, lengths: Tensor) -> Result:
        """Outputs [S, B, 2*H], padded, and the final states."""
        y, hx = self.lstm(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return pad_packed_sequence(y)[0], hx


class Decoder(nn.Module):
    """torch.nn.LSTM on padded sequences, called as our layers are: nobody reads its outputs beyond an end."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor], lengths: Tensor | None = None) -> Result:
        """Outputs [T, B, H], and the states after the last step."""
        return self.lstm(x, hx)


class TorchTranslate(Translate):
    """The task with torch's layers and loss."""

    def model(self, options: TranslateOptions, facts: dict[str, Any]) -> Translator:
        """The weights that our model has at the start, in torch's layers."""
        model = super().model(options, facts)
        sizes = (options.embedding, options.hidden, options.layers)
        dropout = (options.dropout or 0.0) if options.layers > 1 else 0.0
        encoder = nn.LSTM(sizes[0], sizes[1] // 2, sizes[2], dropout=dropout, bidirectional=True)
        decoder = nn.LSTM(*sizes, dropout=dropout)
        encoder.load_state_dict(model.encoder.state_dict())
        decoder.load_state_dict(model.decoder.state_dict())
        model.encoder, model.decoder = Encoder(encoder), Decoder(decoder)
        return model

    def loss(self, model: Translator, batch: PairBatch, state: State) -> tuple[Tensor, State]:
        """The mean of -ln p(subword) over the targets of a batch, in nats, from all logits at once."""
        features, targets = model.features(batch)
        smoothing = model.smoothing if model.training else 0.0
        return cross_entropy(model.logits(features), targets, label_smoothing=smoothing), ()


def to_ours(model: Translator) -> dict[str, Tensor]:
    """The weights under the names that our model has."""
    return {name.replace(".lstm.", "."): weight for name, weight in model.state_dict().items()}
