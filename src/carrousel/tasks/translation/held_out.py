"""What a translator is measured on: pairs of texts, as symbols and as they were written."""

from __future__ import annotations

from dataclasses import dataclass

from carrousel.data.subwords import Subwords
from carrousel.data.symbol_pairs import SymbolPairs


@dataclass(frozen=True)
class HeldOut:
    """Pairs that did not train.

    Args:
        pairs: as symbols [B].
        sources: their texts [B].
        targets: their translations [B].
        subwords: which text a symbol is.
        width: hypotheses of the beam search.
        most: so many sources are translated, spread over all; None: all of them.
        notes: what people should know of the data, a line each.
    """

    pairs: SymbolPairs
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    subwords: Subwords
    width: int
    most: int | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pairs)

    def group_by_source(self) -> tuple[list[int], list[list[str]]]:
        """The first pair of each different source, and all translations of that source; at most `most`, spread out."""
        references: dict[str, list[str]] = {}
        first: dict[str, int] = {}
        for index, (source, target) in enumerate(zip(self.sources, self.targets)):
            references.setdefault(source, []).append(target)
            first.setdefault(source, index)
        names = list(first)
        count = len(names) if self.most is None else min(self.most, len(names))
        names = [names[index * len(names) // count] for index in range(count)]
        return [first[name] for name in names], [references[name] for name in names]
