"""The online learner: one network on one stream, a step at a time, in memory that does not grow."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from carrousel import checkpoint
from carrousel.errors import UserError
from carrousel.online.checks import Array, array_of, check_rows, check_targets, fill_row
from carrousel.online.exclusive import Exclusive
from carrousel.online.lstm1997.engine import is_compiled, make_engine
from carrousel.online.lstm1997.network import Network
from carrousel.online.lstm1997.rule import check_rule

KIND = "lstm1997 learner"
NO_FILE = "name a file that Learner.save has written"
NO_SPACE = "the file of before stays: free some space, or name another file"


class Learner(Exclusive):
    """One network that learns from one stream by the truncated rule of 1997.

    The learner stores the weights, the states, the activations and 2 C S (Z + 1) traces, and nothing else of the past:
    a stream may be endless. An error reaches back as far as the cells' states remember. A copy (`copy`, `deepcopy`,
    `pickle`) is independent of its original and continues bit for bit.

    Use one learner per thread: a call while another thread uses the learner raises RuntimeError and changes nothing.
    `rate`, `update`, `error` and `steps` may be read, and `rate` set, at any time; a running call keeps its rate.

    Source: Hochreiter & Schmidhuber 1997, appendix A.1.

    Args:
        network: the description of the network.
        rate: learning rate alpha.
        seed: of the initial weights; an integer or a NumPy Generator.
        weights: initial weights [network.weight_count] instead of random ones.
        update: "step": the weights change at each step with a target. "sequence": they change once, at `reset`.
        error: "squared", or "entropy", which leaves f' out of the output units' error.
        dtype: "float32" or "float64", of everything that is computed. Without the compiled kernels the reference
            computes: hundreds of times slower, and always in float64.

    Attributes:
        network: the description of the network.
        steps: steps so far, with or without a target.

    Raises:
        ValueError: an invalid argument; the message names it and its value.

    Example:
        >>> from carrousel.online import Learner, Network
        >>> learner = Learner(Network(inputs=1, outputs=1, blocks=2, biased="all"), rate=0.5)
        >>> before = learner.predict_one([0.3])  # commits nothing
        >>> for _ in range(100):
        ...     y = learner.learn_one([0.3], [0.8])  # the output before this step's learning
        >>> bool(abs(0.8 - learner.predict_one([0.3])[0]) < abs(0.8 - before[0]))
        True
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
        self.steps: int = 0
        self._rule = check_rule(rate, update, error)
        self._engine = make_engine(network, dtype)
        self.weights = network.initial_weights(seed) if weights is None else weights

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of everything that is computed."""
        return self._engine.x.dtype

    @property
    def rate(self) -> float:
        """Learning rate alpha; set it to learn faster or slower from now on."""
        return self._rule.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rule = check_rule(rate, self.update, self.error)

    @property
    def update(self) -> str:
        """When the weights change: "step" or "sequence"."""
        return "step" if self._rule.each_step else "sequence"

    @property
    def error(self) -> str:
        """Error signal of the output units: "squared" or "entropy"."""
        return "entropy" if self._rule.entropy else "squared"

    @property
    def weights(self) -> Array:
        """A copy of the weights [weight_count], in the order of Network.split; assign to replace them."""
        with self._exclusive:
            return self._engine.weights()

    @weights.setter
    def weights(self, weights: ArrayLike) -> None:
        flat = array_of("weights", weights)
        if flat.ndim != 1:
            raise ValueError(f"weights has shape {list(flat.shape)}, expected [{self.network.weight_count}]")
        self.network.split(weights)  # raises if they do not fit
        with self._exclusive:
            self._engine.set_weights(flat)

    @property
    def states(self) -> Array:
        """A copy of s, the cells' internal states [C*S]."""
        with self._exclusive:
            return self._engine.states()[0]

    @property
    def activations(self) -> Array:
        """A copy of the hidden units' outputs y [U]: cells, input gates, output gates, conventional units."""
        with self._exclusive:
            return self._engine.states()[1]

    def predict_one(self, x: ArrayLike | int) -> Array:
        """Predict the output if x were the next input; commit nothing.

        Args:
            x: inputs [I], or the index of the input that is 1 (-1: none is).

        Returns:
            The output y [K].

        Raises:
            ValueError: another shape, NaN, infinity, or an invalid index.
            RuntimeError: another thread uses this learner.
        """
        with self._exclusive:
            engine = self._engine
            engine.predict(fill_row("x", x, engine.x, engine.symbol))
            return engine.y.copy()

    def learn_one(self, x: ArrayLike | int, y: ArrayLike | int | None = None) -> Array:
        """Take one step, and learn from its target if there is one.

        Args:
            x: inputs [I], or the index of the input that is 1 (-1: none is).
            y: the target [K], the index of the output that should be 1, or None for a step without a target.

        Returns:
            The output [K] before learning.

        Raises:
            ValueError: another shape, NaN, infinity, or an invalid index; nothing has changed.
            RuntimeError: another thread uses this learner; nothing has changed.
        """
        with self._exclusive:
            engine = self._engine
            if y is not None and fill_row("y", y, engine.target, engine.symbol):
                self._set_target(int(engine.symbol[0]))
            engine.learn_one(self._rule, fill_row("x", x, engine.x, engine.symbol), y is not None)
            self.steps += 1
            return engine.y.copy()

    def _set_target(self, index: int) -> None:
        """Set the target to 1 at an index and to 0 elsewhere."""
        if index < 0:
            raise ValueError("y=-1 is not the index of an output; use None for a step without a target")
        self._engine.target[:] = 0
        self._engine.target[index] = 1

    def learn_many(self, x: ArrayLike, y: ArrayLike | None = None) -> Array:
        """Take steps one after another: the same results as `learn_one`, without Python between the steps.

        Args:
            x: inputs [T, I], or indices [T].
            y: targets [T, K], with a row of NaN for a step without a target; indices [T], with -1 for such a step; or
                None.

        Returns:
            The output [T, K] of each step, before it learned.

        Raises:
            ValueError: another shape, NaN, infinity, or an invalid index; nothing has changed.
            RuntimeError: another thread uses this learner; nothing has changed.
        """
        n, T = self.network, len(np.atleast_1d(array_of("x", x)))
        inputs = check_rows("x", x, T, n.inputs, dtype=self.dtype)
        targets, has_target = check_targets("y", y, T, n.outputs, self.dtype)
        outputs = np.zeros((T, n.outputs), self.dtype)
        with self._exclusive:
            self._engine.learn_many(self._rule, inputs, targets, has_target, outputs)
            self.steps += T
        return outputs

    def reset(self) -> None:
        """Start a new sequence: set activations, states and traces to zero. With update="sequence", learn first."""
        with self._exclusive:
            self._engine.reset()

    def save(self, path: str | Path) -> None:
        """Save everything to a safetensors file with JSON in its header; possible at any step of a sequence.

        Raises:
            UserError: the file cannot be written, or the weights are not finite; an existing file stays.
            RuntimeError: another thread uses this learner.
        """
        with self._exclusive:
            self._save(path)

    def _save(self, path: str | Path) -> None:
        weights = self._engine.weights()
        if not np.isfinite(weights).all():
            raise UserError(
                f"the network has diverged at rate={self.rate}: its weights hold {weights[~np.isfinite(weights)][0]}. "
                f"{path} stays as it was; continue from it, or from new weights, with a smaller rate"
            )
        facts = {"kind": KIND, "network": asdict(self.network), **self._settings()}
        facts |= {"steps": self.steps, "compiled": is_compiled()}
        arrays = {"weights": weights, "memory": self._engine.memory()}
        if self.network.cells:  # for people who read the file; memory contains them too
            arrays |= dict(zip(("states", "activations"), self._engine.states()))
        checkpoint.write(Path(path), facts, {name: torch.from_numpy(array) for name, array in arrays.items()}, NO_SPACE)

    def _settings(self) -> dict[str, Any]:
        """The constructor's arguments that are not arrays."""
        return {"rate": self.rate, "update": self.update, "error": self.error, "dtype": str(self.dtype)}

    @classmethod
    def load(cls, path: str | Path, network: Network | None = None) -> Learner:
        """Load a learner that continues, bit for bit, where `save` was called.

        Args:
            path: the file.
            network: the description that the file must have; None: any.

        Raises:
            UserError: the file does not exist, was edited or is not a Learner's; or it was saved with the compiled
                kernels and is loaded without them, or vice versa: their memory formats differ.
            ValueError: the file holds another network than `network`.
        """
        facts, tensors = checkpoint.read(Path(path), NO_FILE)
        if facts.get("kind") != KIND:
            raise UserError(f"{path} is a checkpoint, but not of a Learner: {NO_FILE}")
        found = Network(**facts["network"])
        if network is not None and found != network:
            raise ValueError(f"network={network} is not the network in {path}, which is {found}")
        settings = {name: facts[name] for name in ("rate", "update", "error", "dtype")}
        arrays = tensors["weights"].numpy(), tensors["memory"].numpy()
        return cls._restore(str(path), found, settings, facts["steps"], facts.get("compiled", True), *arrays)

    @classmethod
    def _restore(
        cls,
        source: str,
        network: Network,
        settings: dict[str, Any],
        steps: int,
        compiled: bool,
        weights: Array,
        memory: Array,
    ) -> Learner:
        """A learner that continues from saved values; `source` names them in an error."""
        learner = cls(network, weights=weights, **settings)
        if compiled != is_compiled() or len(memory) != len(learner._engine.memory()):
            raise UserError(
                f"{source} was saved {'with' if compiled else 'without'} the compiled kernels, and its memory does not "
                "fit this Learner: load it where it was saved, or start a new Learner from its weights"
            )
        learner._engine.set_memory(memory)
        learner.steps = steps
        return learner

    def __reduce__(self) -> tuple[Any, ...]:
        """For copy and pickle, which cannot copy the compiled network."""
        with self._exclusive:
            values = self.steps, is_compiled(), self._engine.weights(), self._engine.memory()
        return type(self)._restore, ("the learner", self.network, self._settings(), *values)
