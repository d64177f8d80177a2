"""Tensors that are not plain memory: negated and zero ones that torch resolves late, expanded and strided ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor


def of_a_conjugate(t: Tensor) -> Tensor:
    """The imaginary part of a conjugate: each number is negated when it is read."""
    view = torch.complex(torch.zeros_like(t), -t).conj().imag
    assert view.is_neg()
    return view


def zeros_without_memory(t: Tensor) -> Tensor:
    return torch._efficientzerotensor(t.shape, dtype=t.dtype)


def expanded(t: Tensor) -> Tensor:
    """One number for all of the last place: a stride of zero."""
    return t[..., :1].expand(t.shape)


def with_gaps(t: Tensor) -> Tensor:
    wide = t.new_full((*t.shape, 3), torch.nan)
    wide[..., 1] = t
    return wide[..., 1]


def transposed(t: Tensor) -> Tensor:
    return t.mT.contiguous().mT if t.dim() > 1 else with_gaps(t)


def overlapping(t: Tensor) -> Tensor:
    """Rows that share memory."""
    return t.flatten().repeat(2).as_strided(t.shape, [1] * t.dim())


VIEWS = {
    "negated": lambda t: torch._neg_view(-t),
    "of_a_conjugate": of_a_conjugate,
    "negated_and_expanded": lambda t: expanded(torch._neg_view(-t)),
    "zeros_without_memory": zeros_without_memory,
    "expanded": expanded,
    "with_gaps": with_gaps,
    "transposed": transposed,
    "overlapping": overlapping,
}
every_view = pytest.mark.parametrize("view", VIEWS)


def plain(t: Tensor) -> Tensor:
    """The same numbers in memory of their own."""
    return torch.zeros_like(t, memory_format=torch.contiguous_format) + t.resolve_neg()
