"""A network that learns from a stream by the truncated rule, a step at a time, in memory that does not grow."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from carrousel import checkpoint
from carrousel.errors import UserError
from carrousel.fused.kernels import LSTM1997
from carrousel.papers.lstm1997 import plain
from carrousel.papers.lstm1997.checks import fill_row, rows, told
from carrousel.papers.lstm1997.exclusive import Exclusive
from carrousel.papers.lstm1997.network import Network, array_of
from carrousel.papers.lstm1997.trainer import checked_rule, native

KIND = "lstm1997 learner"
SAVED = "name a file that Learner.save has written"
ROOM = "what was there before stays: make room, or name another file"


class Learner(Exclusive):
    """One network on one stream.

    Nothing of the past is kept but the states, the activations and 2 C S (Z + 1) derivatives, so a stream may be
    endless; an error reaches back as far as the states remember. Hochreiter & Schmidhuber 1997, appendix A.1.
    A copy (`copy`, `pickle`) is a learner of its own, which goes on bit for bit.

    One thread at a time may use it: where two meet, the second one's call raises RuntimeError and changes nothing. Only
    the attributes below may be read and set at any time; a call that runs keeps the rate with which it began.

    Args:
        network: the description.
        rate: alpha.
        seed: of the initial weights, an integer or a numpy Generator.
        weights: initial weights [network.weight_count], instead of those that `seed` gives.
        update: "step": the weights change at every step with a target; "sequence": once, at `reset`.
        error: "squared", or "entropy", which leaves f' out of the output units' error.
        dtype: "float32" or "float64", of all that is computed. Without the compiled kernels the reference computes,
            hundreds of times slower and always in float64.

    Attributes:
        rate: alpha, which may be set; update, error: as they were given.
        steps: how many steps have been learned, with a target or without.

    Raises:
        ValueError: an argument that is none of those; names it and its value.
    """

    def __init__(
        self,
        network: Network,
        rate: float,
        *,
        seed: int | np.random.Generator = 0,
        weights: ArrayLike | None = None,
        update: str = "step",
        error: str = "squared",
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        if not isinstance(network, Network):
            raise ValueError(f"network={network!r} must be a Network")
        if dtype not in ("float32", "float64"):
            raise ValueError(f'dtype={dtype!r} must be "float32" or "float64"')
        self.network = network
        rate, update, error = checked_rule(rate, update, error)
        self._rule = (rate, True, update == "step", error == "entropy")
        self.dtype = np.dtype(dtype if LSTM1997 else "float64")
        self.steps = 0
        self._online = online(network, self.dtype)
        self._x, self._x_at = self._buffer(network.inputs)
        self._target, self._target_at = self._buffer(network.outputs)
        self._y, self._y_at = self._buffer(network.outputs)
        self._index, self._index_at = self._buffer(1, np.int32)
        self.weights = network.initial_weights(seed) if weights is None else weights

    def _buffer(self, size: int, dtype: Any = None) -> tuple[NDArray, int]:
        """An array that a call needs, and its address, which is slow to ask for."""
        array = np.zeros(size, dtype or self.dtype)
        return array, array.ctypes.data

    @property
    def rate(self) -> float:
        """alpha; set it to learn faster or slower from now on."""
        return self._rule[0]

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rule = (checked_rule(rate, self.update, self.error)[0], *self._rule[1:])

    @property
    def update(self) -> str:
        """When the weights change."""
        return "step" if self._rule[2] else "sequence"

    @property
    def error(self) -> str:
        """The output units' error signal."""
        return "entropy" if self._rule[3] else "squared"

    @property
    def weights(self) -> NDArray:
        """A copy of the weights [weight_count], in the order of Network.split; set them by assignment."""
        with self._turn:
            return self._weights()

    @weights.setter
    def weights(self, weights: ArrayLike) -> None:
        shape = array_of("weights", weights).shape
        if len(shape) != 1:
            raise ValueError(f"weights has shape {list(shape)}, expected [{self.network.weight_count}]")
        self.network.split(weights)  # raises where they do not fit
        flat = np.ascontiguousarray(weights, self.dtype)
        with self._turn:
            self._online.load(flat.ctypes.data)

    def _weights(self) -> NDArray:
        weights = np.empty(self.network.weight_count, self.dtype)
        self._online.save(weights.ctypes.data)
        return weights

    @property
    def states(self) -> NDArray:
        """s, the cells' internal states [C*S]."""
        with self._turn:
            return self._alive()[0]

    @property
    def activations(self) -> NDArray:
        """y of the hidden units at the last step [U]: cells, input gates, output gates, conventional units."""
        with self._turn:
            return self._alive()[1]

    def _alive(self) -> tuple[NDArray, NDArray]:
        s, y = np.zeros(self.network.cells, self.dtype), np.zeros(self.network.units, self.dtype)
        self._online.state(s.ctypes.data, y.ctypes.data)
        return s, y

    def predict_one(self, x: ArrayLike | int) -> NDArray:
        """The output at x, were it the next step; commits nothing.

        Args:
            x: inputs [I], or the index of the one that is 1 (-1: none is).

        Returns:
            y [K].

        Raises:
            ValueError: another shape, NaN, infinity, or no such index.
            RuntimeError: another thread uses this Learner.
        """
        with self._turn:
            x_at, index_at = self._fill("x", x, self._x, self._x_at)
            self._online.predict(x_at, int(self._index[0]) if index_at else -1, self._y_at)
            return self._y.copy()

    def learn_one(self, x: ArrayLike | int, y: ArrayLike | int | None = None) -> NDArray:
        """Take a step, and learn from its target if there is one.

        Args:
            x: inputs [I], or the index of the one that is 1 (-1: none is).
            y: the target [K], the index of the one that is 1, or None.

        Returns:
            what the network said before it learned [K].

        Raises:
            ValueError: another shape, NaN, infinity, or no such index; nothing has changed then.
            RuntimeError: another thread uses this Learner; nothing has changed then.
        """
        with self._turn:
            return self._learn_one(x, y)

    def _learn_one(self, x: ArrayLike | int, y: ArrayLike | int | None) -> NDArray:
        target_at = 0
        if y is not None:
            target_at, index = self._fill("y", y, self._target, self._target_at)
            if index:
                if self._index[0] < 0:
                    raise ValueError("y=-1 is no output; give None where there is no target")
                self._target[:] = 0
                self._target[self._index[0]] = 1
                target_at = self._target_at
        x_at, index_at = self._fill("x", x, self._x, self._x_at)
        n = self.network
        self._online.learn(self._rule, 1, x_at, index_at, target_at, 0, self._y_at, n.inputs, n.outputs)
        self.steps += 1
        return self._y.copy()

    def learn_many(self, x: ArrayLike, y: ArrayLike | None = None) -> NDArray:
        """Take steps one after another, as `learn_one` would, without Python between them.

        Args:
            x: inputs [T, I], or indices [T].
            y: targets [T, K], a row of NaN being none, or indices [T], -1 being none; or None.

        Returns:
            what the network said at each step [T, K].

        Raises:
            ValueError: another shape, NaN, infinity, or no such index; nothing has changed then.
            RuntimeError: another thread uses this Learner; nothing has changed then.
        """
        n, T = self.network, len(np.atleast_1d(array_of("x", x)))
        x = rows("x", x, T, n.inputs, dtype=self.dtype)
        targets, has = told("y", y, T, n.outputs, self.dtype)
        said = np.zeros((T, n.outputs), self.dtype)
        dense, index = (x.ctypes.data, 0) if x.ndim == 2 else (0, x.ctypes.data)
        addresses = (0, 0) if targets is None else (targets.ctypes.data, has.ctypes.data)
        with self._turn:
            self._online.learn(self._rule, T, dense, index, *addresses, said.ctypes.data, n.inputs, n.outputs)
            self.steps += T
        return said

    def _fill(self, name: str, value: ArrayLike | int, buffer: NDArray, at: int) -> tuple[int, int]:
        """Check a row and put it into its buffer: the address of numbers, and that of an index; one of them 0."""
        return (0, self._index_at) if fill_row(name, value, buffer, self._index) else (at, 0)

    def reset(self) -> None:
        """Activations, states and derivatives to zero. With update="sequence" the weights change now."""
        with self._turn:
            self._online.reset()

    def save(self, path: str | Path) -> None:
        """Write everything to a safetensors file with JSON in its header, at any step, also within a sequence.

        Raises:
            UserError: it cannot be written, or the weights are no numbers any more; what was there before stays.
            RuntimeError: another thread uses this Learner.
        """
        with self._turn:
            self._save(path)

    def _save(self, path: str | Path) -> None:
        weights = self._weights()
        if not np.isfinite(weights).all():
            raise UserError(
                f"the network has diverged at rate={self.rate}: its weights hold {weights[~np.isfinite(weights)][0]}, "
                f"and {path} stays as it was; go on from there, or from new weights, at a smaller rate"
            )
        facts = {"kind": KIND, "network": asdict(self.network), **self._settings()}
        facts |= {"steps": self.steps, "compiled": LSTM1997 is not None}
        arrays = {"weights": weights, "memory": self._memory()}
        if self.network.cells:  # for readers of the file; memory holds them too
            arrays |= dict(zip(("states", "activations"), self._alive()))
        checkpoint.write(Path(path), facts, {name: torch.from_numpy(array) for name, array in arrays.items()}, ROOM)

    def _settings(self) -> dict[str, Any]:
        """The arguments that are no arrays."""
        return {"rate": self.rate, "update": self.update, "error": self.error, "dtype": str(self.dtype)}

    def _memory(self) -> NDArray:
        """All that lives on between steps, beside the weights."""
        memory = np.zeros(self._online.memory_size(), self.dtype)
        self._online.read_memory(memory.ctypes.data)
        return memory

    @classmethod
    def load(cls, path: str | Path, network: Network | None = None) -> Learner:
        """A learner that goes on where `save` was called, bit for bit.

        Args:
            path: the file.
            network: the description that it must have; None: any.

        Raises:
            UserError: no such file, an edited one, one of something else, or one that was saved with the compiled
                kernels and is read without, or the other way round: each keeps its memory in an order of its own.
            ValueError: it is of another network than `network`.
        """
        facts, tensors = checkpoint.read(Path(path), SAVED)
        if facts.get("kind") != KIND:
            raise UserError(f"{path} is a checkpoint, but of no Learner: {SAVED}")
        found = Network(**facts["network"])
        if network is not None and found != network:
            raise ValueError(f"network={network} is not that of {path}, which is {found}")
        settings = {name: facts[name] for name in ("rate", "update", "error", "dtype")}
        at = (facts["steps"], facts.get("compiled", True), tensors["weights"].numpy(), tensors["memory"].numpy())
        return cls._again(str(path), found, settings, *at)

    @classmethod
    def _again(
        cls, name: str, network: Network, settings: dict[str, Any], steps: int, compiled: bool, weights, memory
    ) -> Learner:
        """A learner that goes on where another one was."""
        learner = cls(network, weights=weights, **settings)
        if compiled != (LSTM1997 is not None) or len(memory) != learner._online.memory_size():
            raise UserError(
                f"{name} was saved {'with' if compiled else 'without'} the compiled kernels, and its memory does not "
                "fit this Learner: load it where it was saved, or start a new one from its weights"
            )
        learner._online.write_memory(memory.ctypes.data)
        learner.steps = steps
        return learner

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies and pickle: without it a copy would share the native network, and neither go its own way."""
        with self._turn:
            at = (self.steps, LSTM1997 is not None, self._weights(), self._memory())
        return type(self)._again, ("the learner", self.network, self._settings(), *at)


def online(network: Network, dtype: np.dtype) -> Any:
    """The compiled network, or the reference where nothing is compiled."""
    if LSTM1997 is None:
        return plain.Online(network)
    return (LSTM1997.Online32 if dtype == np.float32 else LSTM1997.Online64)(native(network))
