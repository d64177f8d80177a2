"""The network: embedding -> recurrent layers in both directions; embedding -> recurrent layers -> attention -> output.

Attention and output come after the last recurrent layer of the decoder (Luong et al., 2015, without input feeding): in
training no step waits for the output of the step before, and each layer runs over all steps in one call.

Letters: S steps of sources, T steps of targets, B batch, E embedding, H hidden units, V symbols, N symbols of targets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from carrousel.data.subwords import LEAST, START
from carrousel.data.symbol_pairs import PairBatch
from carrousel.errors import UserError
from carrousel.tasks.language_model.model import join
from carrousel.tasks.network import MOST, NetworkOptions, new_layers
from carrousel.training.options import MODEL, WEIGHTS, option
from carrousel.training.task import State

Self = TypeVar("Self", bound="TranslatorOptions")


@dataclass(frozen=True)
class TranslatorOptions(NetworkOptions):
    """The options of a network that translates."""

    vocabulary: int = option(
        4000,
        "Subwords of both languages together (V).",
        MODEL,
        least=LEAST,
        below=10**6 + 1,
        range=f"at least {LEAST} and at most 1,000,000",
    )
    hidden: int = option(384, "Units of a layer of the decoder (H); each direction of the encoder has half of them.",
                         MODEL, **MOST, enlarges=WEIGHTS)  # fmt: skip
    embedding: int = option(256, "Numbers that stand for a subword (E).", MODEL, **MOST, enlarges=WEIGHTS)
    layers: int = option(1, "Recurrent layers of the encoder, and of the decoder.", MODEL, **MOST, enlarges=WEIGHTS)
    dropout: float | None = option(
        0.2, "Dropout of embeddings, of layers, and before the output.", MODEL, least=0, below=1,
        range="at least 0 and below 1",
    )  # fmt: skip
    smoothing: float = option(
        0.1, "Part of the target that is spread over all subwords.", least=0, below=1, range="at least 0 and below 1"
    )

    def complete(self: Self) -> Self:
        """Check these options and fill in those that are open.

        Raises:
            UserError: a value is not allowed.
        """
        if self.hidden % 2:
            raise UserError(f"--hidden {self.hidden} is not allowed: it must be even, half of it for each direction")
        return super().complete()


class Encoded(NamedTuple):
    """What the decoder sees of sources.

    keys: what the decoder's outputs are compared with [B, H, S].
    values: what attention is a mean of [B, S, H].
    is_padding: [B, 1, S], true beyond the end of a source.
    """

    keys: Tensor
    values: Tensor
    is_padding: Tensor

    def select(self, rows: Tensor) -> Encoded:
        """Some of them [n]."""
        return Encoded(*(part[rows] for part in self))


class Translator(nn.Module):
    """Predicts each next subword of a translation from the source and the subwords before it.

    Args:
        symbols: V.
        options: complete.
    """

    def __init__(self, symbols: int, options: TranslatorOptions) -> None:
        super().__init__()
        H, E = options.hidden, options.embedding
        # One table for sources, targets and output: the languages share names, numbers and stems.
        self.table: nn.Parameter = nn.Parameter(torch.randn(symbols, E) / math.sqrt(E))
        self.bias: nn.Parameter = nn.Parameter(torch.zeros(symbols))
        self.encoder: nn.Module = new_layers(options, E, is_bidirectional=True, hidden=H // 2)
        self.decoder: nn.Module = new_layers(options, E)
        self.keys: nn.Linear = nn.Linear(H, H, bias=False)
        self.mix: nn.Linear = nn.Linear(2 * H, E)
        self.dropout: nn.Dropout = nn.Dropout(options.dropout or 0.0)
        self.smoothing: float = options.smoothing
        self.scale: float = math.sqrt(E)

    def embed(self, symbols: Tensor) -> Tensor:
        """What the layers see of symbols [*]: numbers of deviation 1 [*, E]."""
        return self.dropout(nn.functional.embedding(symbols, self.table) * self.scale)

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Encoded, State]:
        """Read sources.

        Args:
            source: symbols, padded [S, B], int64.
            lengths: steps of each [B], at least 1.

        Returns:
            What the decoder sees of them, and its first state.
        """
        y, hx = self.encoder(self.embed(source), lengths=lengths)
        y = self.dropout(y)
        steps = torch.arange(len(source), device=source.device)
        is_padding = (steps >= lengths[:, None])[:, None]
        states = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        encoded = Encoded(self.keys(y).permute(1, 2, 0), y.transpose(0, 1), is_padding)
        return encoded, tuple(map(join_directions, states))

    def decode(self, symbols: Tensor, state: State, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """The decoder's outputs [T, B, H] after symbols [T, B], and its state after the last step.

        Args:
            symbols: int64.
            state: that before the first of them.
            lengths: steps of each row [B]. Default: T.
        """
        more = {} if lengths is None else {"lengths": lengths}
        y, hx = self.decoder(self.embed(symbols), join(state), **more)
        return y, (hx,) if isinstance(hx, Tensor) else tuple(hx)

    def attend(self, y: Tensor, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Look at the source from each output of the decoder.

        Args:
            y: [B, T, H].
            encoded: the sources.

        Returns:
            What the output layer sees [B, T, E], and how much of the attention each step of the source gets [B, T, S].
        """
        weights = (y @ encoded.keys).masked_fill(encoded.is_padding, -torch.inf).softmax(-1)
        mixed = self.mix(torch.cat([y, weights @ encoded.values], -1))
        return self.dropout(torch.tanh(mixed)), weights

    def logits(self, features: Tensor) -> Tensor:
        """The logits of all symbols [*, V] from what the output layer sees [*, E]."""
        return linear(features, self.table, self.bias)

    def features(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """What the output layer sees of each symbol of the targets [N, E], and these symbols [N]."""
        encoded, state = self.encode(batch.source, batch.source_lengths)
        y, _ = self.decode(shift(batch.target), state, batch.target_lengths)
        features, _ = self.attend(y.transpose(0, 1), encoded)
        steps = torch.arange(len(batch.target), device=y.device)
        is_symbol = steps < batch.target_lengths[:, None]
        return features[is_symbol], batch.target.t()[is_symbol]


def shift(target: Tensor) -> Tensor:
    """What the decoder reads to predict targets [T, B]: the start, and all but their last symbols."""
    return torch.cat([torch.full_like(target[:1], START), target[:-1]])


def join_directions(state: Tensor) -> Tensor:
    """A state of both directions [L*2, B, H/2] as one of the decoder [L, B, H]."""
    L, B, H = state.shape[0] // 2, state.shape[1], 2 * state.shape[2]
    return state.view(L, 2, B, H // 2).transpose(1, 2).reshape(L, B, H)
