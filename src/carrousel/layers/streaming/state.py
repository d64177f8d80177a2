"""The state of a stream: what a layer carries from step to step.

Letters: B batch, H hidden units, P the width of h (H, or proj_size), L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import torch
from torch import Tensor

from carrousel import checkpoint
from carrousel.errors import UserError


class Kind(NamedTuple):
    """What two layers must have in common for the states of one to fit the other."""

    layer: str  # its class
    cell: str
    states: tuple[str, ...]
    input_size: int
    hidden_size: int
    num_layers: int
    proj_size: int

    def __str__(self) -> str:
        layers = f", num_layers={self.num_layers}" if self.num_layers > 1 else ""
        projected = f", proj_size={self.proj_size}" if self.proj_size else ""
        cell = "" if self.cell == self.layer.lower() else f"{self.cell}, "
        return f"{self.layer}({cell}{self.input_size}, {self.hidden_size}{layers}{projected})"

    def shapes(self, batch: int) -> list[tuple[int, ...]]:
        """[L, B, P] of the first state, [L, B, H] of the others."""
        widths = [self.proj_size or self.hidden_size, *[self.hidden_size] * (len(self.states) - 1)]
        return [(self.num_layers, batch, width) for width in widths]

    def output(self, states: Sequence[Tensor]) -> Tensor:
        """A tensor with the shape, dtype and device of a step's result [B, P]."""
        return states[0].select(0, 0)


def get_kind(layer: Any) -> Kind:
    """The kind of a layer.

    Raises:
        TypeError: it is not a layer of carrousel.
    """
    if not callable(getattr(layer, "_kind", None)):
        raise TypeError(f"layer={layer!r} is not a layer of carrousel: give the layer whose state it is")
    return layer._kind()


class Streams:
    """What all streams of a layer share: its identity, and its packed weights, by how they are rounded.

    A copy of a layer accepts the states of the original, and packs its own weights.
    """

    __slots__ = ("identity", "packed")

    def __init__(self, identity: str | None = None) -> None:
        self.identity: str = identity or uuid4().hex
        self.packed: dict[str | None, Any] = {}  # carrousel.layers.streaming.packed_weights.PackedWeights

    def __reduce__(self) -> tuple[Any, ...]:
        return Streams, (self.identity,)


class State:
    """The state of a stream: what a layer carries from step to step.

    `layer.start` makes it; `layer.step` and `layer.block` update it in place. It belongs to the layer that made it and
    to copies of that layer, has B rows, one for each sequence, and is for one thread at a time. `len(state)` is B;
    `state[rows]` is a copy of some rows, and `state[rows] = other` replaces them by the rows of another state. `rows`
    is an int, a slice, indices [n] or a bool mask [B].

    Example:
        >>> import torch, carrousel
        >>> layer = carrousel.GRU(3, 4)
        >>> state = layer.start(batch=2)
        >>> with torch.no_grad():
        ...     y = layer.block(torch.randn(5, 2, 3), state)
        >>> len(state), len(state[:1]), state.hx().shape
        (2, 1, torch.Size([1, 2, 4]))
    """

    __slots__ = (
        "__weakref__",
        "_beginning",
        "_identity",
        "_kind",
        "_out",
        "_out_place",
        "_packed",
        "_stream",
        "_tensors",
        "_weights",
        "_x_shape",
        "_y",
    )

    def __init__(
        self,
        kind: Kind,
        identity: str,
        tensors: Sequence[Tensor],
        beginning: Sequence[Tensor] | None = None,
        weights: str | None = None,
    ) -> None:
        # Copies, into which nothing else writes; not made in inference mode, outside of which they could not change.
        with torch.inference_mode(False), torch.no_grad():
            self._tensors: tuple[Tensor, ...] = tuple(
                [t.detach().clone(memory_format=torch.contiguous_format) for t in tensors]
            )
            self._y = kind.output(self._tensors)  # the form of a step's result
        self._kind, self._identity = kind, identity
        self._beginning = beginning  # the states after a reset [L, 1, .]; None: zeros
        self._weights = weights  # how its stream reads them: a key of packed_weights.STORAGES
        self._x_shape = (len(self), kind.input_size)
        self._packed: Any = None  # the weights of _stream, the compiled stream, which writes into _tensors
        self._stream: Any = None
        self._out: Any = None  # the last output buffer of a step, and its address
        self._out_place = 0

    def __len__(self) -> int:
        return self._tensors[0].shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the states."""
        return self._tensors[0].dtype

    @property
    def device(self) -> torch.device:
        """The device of the states."""
        return self._tensors[0].device

    def __repr__(self) -> str:
        weights = f", weights={self._weights!r}" if self._weights else ""
        return f"State({self._kind}, batch={len(self)}, dtype={self.dtype}, device='{self.device}'{weights})"

    def hx(self) -> Any:
        """A copy in the form of hx: h [L, B, P], or the tuple of it and [L, B, H] for each other state."""
        copies: tuple[Tensor, ...] = tuple([t.clone() for t in self._tensors])
        return copies[0] if len(self._tensors) == 1 else copies

    def clone(self) -> State:
        """An independent copy."""
        return self._like(self._tensors)

    __copy__ = clone

    def __reduce__(self) -> tuple[Any, ...]:
        return State, (self._kind, self._identity, self._tensors, self._beginning, self._weights)

    def _like(self, tensors: Sequence[Tensor]) -> State:
        """A state of the same layer with other tensors."""
        return State(self._kind, self._identity, tensors, self._beginning, self._weights)

    def to(self, *args: Any, **kwargs: Any) -> State:
        """A copy on another device, or in another floating-point dtype; arguments as of Tensor.to.

        Raises:
            TypeError: the dtype is not floating point.
        """
        moved = [t.to(*args, **kwargs) for t in self._tensors]
        if not moved[0].is_floating_point():
            raise TypeError(f"State.to: {moved[0].dtype} is not a floating-point dtype, which states must have")
        beginning = self._beginning and [t.to(moved[0].device, moved[0].dtype) for t in self._beginning]
        return State(self._kind, self._identity, moved, beginning, self._weights)

    # ---- rows

    def reset(self, rows: Any = None) -> None:
        """Reset some rows to the start of a sequence: zeros, or the learned states when the stream was started.

        Args:
            rows: an int, a slice, indices [n] or a bool mask [B]. Default: all.

        Raises:
            TypeError, ValueError, IndexError: `rows` has another type, is a mask of another size, or is out of range.
        """
        index = None if rows is None else to_indices(rows, len(self), self.device)
        with torch.no_grad():
            for t, begins in zip(self._tensors, self._beginning or [None] * len(self._tensors)):
                if begins is not None:
                    index = torch.arange(len(self), device=self.device) if index is None else index
                    t.index_copy_(1, index, begins.expand(-1, len(index), *begins.shape[2:]))
                else:
                    t.zero_() if index is None else t.index_fill_(1, index, 0)

    def __getitem__(self, rows: Any) -> State:
        index = to_indices(rows, len(self), self.device)
        return self._like([t.index_select(1, index) for t in self._tensors])

    def __setitem__(self, rows: Any, other: State) -> None:
        index = to_indices(rows, len(self), self.device)
        check_same_layer("state[rows] = other", [self, other])
        if len(other) != len(index):
            raise ValueError(f"state[rows] = other: {len(index)} rows are replaced, but other has {len(other)} rows")
        if len(index.unique()) < len(index):
            raise ValueError(
                f"state[rows] = other: rows {index.tolist()} name one of them twice, which cannot take two of other's "
                "rows: name each once"
            )
        with torch.no_grad():
            for mine, theirs in zip(self._tensors, other._tensors):
                mine.index_copy_(1, index, theirs)

    @staticmethod
    def cat(states: Sequence[State]) -> State:
        """Concatenate the rows of several states of one layer.

        Raises:
            TypeError, ValueError: there are no states, or they differ in layer, dtype or device.
        """
        try:
            states = list(states)
        except TypeError:
            raise TypeError(f"State.cat takes a sequence of states, not {type(states).__name__}") from None
        check_same_layer("State.cat", states)
        joined = [torch.cat(tensors, 1) for tensors in zip(*[s._tensors for s in states])]
        return states[0]._like(joined)

    # ---- files

    def save(self, path: str | Path) -> None:
        """Save this state to a file: safetensors, with the layer's kind as JSON in the header.

        Raises:
            UserError: the file cannot be written; an older one is unchanged.
        """
        tensors = dict(zip(self._kind.states, self._tensors))
        advice = "free some disk space, or name another file"
        checkpoint.write(Path(path), {"state": self._kind._asdict(), "weights": self._weights}, tensors, advice)

    @staticmethod
    def load(path: str | Path, layer: Any) -> State:
        """Load a state from a file, onto the device of a layer of the same kind.

        Args:
            path: a file that `save` wrote.
            layer: the layer that will use the state.

        Raises:
            UserError: there is no such file, it is damaged, or it contains no state.
            ValueError: it contains the state of a layer of another kind or dtype.
        """
        facts, tensors = checkpoint.read(Path(path), "name a file that State.save has written")
        if "state" not in facts:
            raise UserError(f"{path} is a checkpoint, but contains no state: name a file that State.save has written")
        saved, kind = facts["state"], get_kind(layer)
        saved = Kind(**{**saved, "states": tuple(saved["states"])})
        if saved._replace(layer=kind.layer) != kind:
            raise ValueError(f"{path} contains a state of {saved}, but the layer is {kind}")
        states = [tensors[name] for name in kind.states]
        state = State(kind, layer._streams.identity, states, layer._beginning(), facts.get("weights"))
        weight = next(layer.parameters())
        if state.dtype != weight.dtype:
            raise ValueError(f"{path} contains a state in {state.dtype}, but the layer computes in {weight.dtype}")
        return state if weight.device == state.device else state.to(weight.device)


def check_same_layer(action: str, states: Sequence[Any]) -> None:
    """Raise if they are not states of one layer, dtype and device."""
    for state in states:
        if not isinstance(state, State):
            raise TypeError(f"{action} takes states from layer.start, not {type(state).__name__}")
    if not states:
        raise ValueError(f"{action} takes one state or more, but got none")
    first, *others = states
    for other in others:
        if other._identity != first._identity or other._kind != first._kind:
            raise ValueError(f"{action}: the states belong to two layers, {first._kind} and {other._kind}")
        if other._weights != first._weights:
            raise ValueError(
                f"{action}: one state reads weights={first._weights!r}, another weights={other._weights!r}: start all "
                "with the same"
            )
        if (other.dtype, other.device) != (first.dtype, first.device):
            raise ValueError(
                f"{action}: one state is {first.dtype} on {first.device}, another {other.dtype} on {other.device}: "
                "State.to converts one"
            )


def to_indices(rows: Any, batch: int, device: torch.device) -> Tensor:
    """Convert rows, as State takes them, to indices [n] from 0 to B - 1."""
    if isinstance(rows, slice):
        return torch.tensor([*range(batch)[rows]], dtype=torch.int64, device=device)
    try:
        given = torch.as_tensor(rows, device=device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"rows are an int, a slice, indices or a bool mask, not {rows!r}") from None
    if given.dtype == torch.bool:
        if given.shape != (batch,):
            raise ValueError(f"the mask of rows has shape {list(given.shape)}, but the state has {batch} rows")
        return given.nonzero()[:, 0]
    if given.numel() and (given.is_floating_point() or given.is_complex()):
        raise TypeError(f"rows are integers or bool, not {given.dtype}")
    given = given.long().reshape(-1) if given.dim() < 2 else given
    if given.dim() > 1:
        raise ValueError(f"rows have shape {list(given.shape)}: give a vector of indices, or a mask [{batch}]")
    if given.numel() and not (-batch <= given.min() and given.max() < batch):
        raise IndexError(f"rows {given.tolist()} are not all among the state's {batch} rows")
    return given % max(batch, 1)
