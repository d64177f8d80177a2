"""The network of 1997 as the paper describes it (its Table 10), and its weights.

Letters: I inputs, K outputs, C memory cell blocks, S cells in a block, H conventional hidden units, U hidden units in
all. Order of the hidden units: cells [C*S], block by block; input gates [C]; output gates [C], if the network has any;
conventional hidden units [H]. Their input is z = [x, y of the hidden layer one step before], [Z]; with connectivity "B"
z = x. The input of the output layer, [M], is the cells, then the conventional hidden units; with "B" and "FB", the
inputs come before them. Gates are not connected to the outputs.

@article{hochreiter1997long,
  author  = {Hochreiter, Sepp and Schmidhuber, J{\\"u}rgen},
  title   = {Long Short-Term Memory},
  journal = {Neural Computation},
  volume  = {9},
  number  = {8},
  pages   = {1735--1780},
  year    = {1997},
}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carrousel.online.checks import MAX_FLOAT32, array_of, check_whole, is_number

SIZES = {"inputs": 1, "outputs": 1, "blocks": 0, "block_size": 1, "hidden": 0}  # and the smallest value of each
CHOICES: dict[str, tuple[str, ...]] = {
    "connectivity": ("F", "B", "FB"),
    "biased": ("none", "gates", "gates and outputs", "hidden", "all"),
    "g": ("g2", "g1"),
    "h": ("h1", "id"),
    "output": ("logistic", "linear"),
}

MAX_WEIGHTS = 2**31 - 1  # the kernels count in int32

Floats = NDArray[np.float64]


class SplitWeights(NamedTuple):
    """A flat vector of weights, split by layer; the bias of a unit without one is zero."""

    hidden: Floats  # [U, Z]
    hidden_bias: Floats  # [U]
    output: Floats  # [K, M]
    output_bias: Floats  # [K]


@dataclass(frozen=True)
class Network:
    """A network of memory cell blocks; an immutable description, without weights.

    Args:
        inputs: I.
        outputs: K.
        blocks: C; with 0, only conventional hidden units or connections from the inputs ("B") remain.
        block_size: S, cells in a block; they share the block's gates.
        hidden: conventional hidden units; no experiment of the paper uses any.
        output_gates: without them a cell's output is h(s) (Experiments 2a, 2b).
        connectivity: "F": the hidden layer sees the inputs and itself, the outputs see the hidden layer without its
            gates. "B": each layer sees all layers below, and only the cells' own states recur. "FB", which is not in
            the paper: the hidden layer as in F, the outputs as in B.
        recurrent_cells: False holds the weights from the hidden layer into the cells at zero, so that cells see only
            the inputs and gates see everything: a reading of Experiment 2c.
        biased: which units have a bias: "none", the "gates", "gates and outputs", all "hidden" units, or "all" except
            the inputs.
        input_gate_bias: initial values, one a block. None: sampled as all other weights.
        output_gate_bias: initial values, one a block. None: sampled as all other weights.
        weight_range: r; initial weights are uniform in [-r, r].
        g: squashes the cell's input: "g2" into [-2, 2], "g1" (logistic) into [0, 1].
        h: squashes the cell's state: "h1" into [-1, 1], "id" not at all.
        output: the output units, "logistic" in [0, 1] or "linear".

    Raises:
        ValueError: an impossible description; the message names the argument and its value.

    Example:
        >>> network = Network(inputs=2, outputs=1, blocks=2, block_size=2, biased="all")
        >>> network.weight_count
        93
    """

    inputs: int
    outputs: int
    blocks: int
    block_size: int = 1
    hidden: int = 0
    output_gates: bool = True
    connectivity: str = "F"
    recurrent_cells: bool = True
    biased: str = "none"
    input_gate_bias: tuple[float, ...] | None = None
    output_gate_bias: tuple[float, ...] | None = None
    weight_range: float = 0.1
    g: str = "g2"
    h: str = "h1"
    output: str = "logistic"

    def __post_init__(self) -> None:
        for name, least in SIZES.items():
            value = getattr(self, name)
            check_whole(name, value, least)
            object.__setattr__(self, name, int(value))  # JSON cannot hold NumPy's integers
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r} must be one of {', '.join(map(repr, choices))}")
        for name in ("output_gates", "recurrent_cells"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r} must be True or False")
        if not is_number(self.weight_range) or not 0 <= self.weight_range <= MAX_FLOAT32:
            raise ValueError(
                f"weight_range={self.weight_range!r} must be a number of 0 or more, up to {MAX_FLOAT32:.2g}"
            )
        object.__setattr__(self, "weight_range", float(self.weight_range))
        if not self.output_fan_in:
            raise ValueError(f"blocks={self.blocks} and hidden={self.hidden} leave the outputs without an input")
        if (most := self.units * self.fan_in + self.outputs * self.output_fan_in) > MAX_WEIGHTS:
            sizes = ", ".join(f"{name}={getattr(self, name)}" for name in SIZES)
            raise ValueError(f"{sizes} make {most:,} weights, not counting biases; the maximum is {MAX_WEIGHTS:,}")
        if self.biased in ("gates", "gates and outputs") and not self.blocks:
            raise ValueError(f'biased="{self.biased}" needs blocks with gates, but blocks=0')
        self._check_gate_bias("input_gate_bias")
        self._check_gate_bias("output_gate_bias")

    def _check_gate_bias(self, name: str) -> None:
        values = getattr(self, name)
        if values is None:
            return
        if not isinstance(values, (Sequence, np.ndarray)) or isinstance(values, str) or not all(map(is_number, values)):
            raise ValueError(f"{name}={values!r} must be {self.blocks} numbers, one a block")
        object.__setattr__(self, name, values := tuple(float(value) for value in values))
        if len(values) != self.blocks or not all(abs(value) <= MAX_FLOAT32 for value in values):
            raise ValueError(f"{name}={values} must be {self.blocks} finite numbers, one a block")
        if self.biased == "none":
            raise ValueError(f'{name}={values} needs gates with a bias, but biased="none"')
        if name == "output_gate_bias" and not self.output_gates:
            raise ValueError(f"{name}={values} needs output gates, but output_gates=False")

    @property
    def cells(self) -> int:
        """C * S."""
        return self.blocks * self.block_size

    @property
    def units(self) -> int:
        """U: cells, gates and conventional units."""
        return self.cells + self.blocks * (1 + self.output_gates) + self.hidden

    @property
    def fan_in(self) -> int:
        """Z: inputs of a hidden unit, without its bias."""
        return self.inputs + (self.units if self.recurrent else 0)

    @property
    def recurrent(self) -> bool:
        """Whether the hidden layer sees itself, one step before."""
        return self.connectivity != "B"

    @property
    def shortcuts(self) -> bool:
        """Whether the outputs see the inputs directly."""
        return self.connectivity != "F"

    @property
    def output_fan_in(self) -> int:
        """M: inputs of an output unit, without its bias."""
        return self.cells + self.hidden + (self.inputs if self.shortcuts else 0)

    @property
    def input_gates(self) -> slice:
        """Positions of the input gates among the hidden units."""
        return slice(self.cells, self.cells + self.blocks)

    @property
    def output_gate_units(self) -> slice:
        """Positions of the output gates among the hidden units; empty without output gates."""
        first = self.cells + self.blocks
        return slice(first, first + self.blocks * self.output_gates)

    @property
    def conventional(self) -> slice:
        """Positions of the conventional units among the hidden units."""
        return slice(self.units - self.hidden, self.units)

    @property
    def hidden_biased(self) -> NDArray[np.bool_]:
        """Which hidden units have a bias [U], bool."""
        has = np.full(self.units, self.biased in ("hidden", "all"))
        if self.biased in ("gates", "gates and outputs"):
            has[self.cells : self.units - self.hidden] = True
        return has

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Number of weights of each kind in the flat vector, in the order of SplitWeights' fields."""
        output_biases = self.outputs * self.outputs_biased
        return self.units * self.fan_in, int(self.hidden_biased.sum()), self.outputs * self.output_fan_in, output_biases

    @property
    def outputs_biased(self) -> bool:
        """Whether the output units have a bias."""
        return self.biased in ("all", "gates and outputs")

    @property
    def weight_count(self) -> int:
        """W: trainable weights; a cell's connection to itself (1.0) is not trainable."""
        return sum(self.sizes)

    def initial_weights(self, rng: np.random.Generator | int) -> Floats:
        """Sample weights [weight_count], uniform in [-r, r]; gate biases with an initial value get exactly that value.

        Args:
            rng: a generator, which always advances by weight_count numbers, or a seed for one.

        Raises:
            ValueError: an invalid seed.
        """
        try:
            rng = np.random.default_rng(rng)
        except (TypeError, ValueError):
            raise ValueError(f"the seed {rng!r} must be a whole number of 0 or more, or a numpy Generator") from None
        weights = rng.uniform(-self.weight_range, self.weight_range, self.weight_count)
        layers = self.split(weights)
        if not self.recurrent_cells:
            layers.hidden[: self.cells, self.inputs :] = 0.0
        for gates, values in (
            (self.input_gates, self.input_gate_bias),
            (self.output_gate_units, self.output_gate_bias),
        ):
            if values is not None:
                layers.hidden_bias[gates] = values
        return self.join(layers)

    def split(self, weights: ArrayLike) -> SplitWeights:
        """Split flat weights [..., weight_count] by layer, as float64 copies; leading dimensions stay.

        Raises:
            ValueError: another number of weights, or one that float32 cannot hold.
        """
        given = array_of("weights", weights)
        if given.ndim < 1 or given.shape[-1] != self.weight_count or given.dtype.kind not in "fiub":
            raise ValueError(
                f"weights has shape {list(given.shape)} of {given.dtype}, expected [{self.weight_count}] numbers for "
                "this network"
            )
        flat = given.astype(np.float64)
        good = np.abs(flat) <= MAX_FLOAT32  # False for NaN
        if not good.all():
            raise ValueError(f"weights holds {flat[~good][0]}; every weight must be finite, up to {MAX_FLOAT32:.2g}")
        lead = flat.shape[:-1]
        hidden, biases, output, output_bias = np.split(flat, np.cumsum(self.sizes)[:-1], axis=-1)
        hidden_bias = np.zeros((*lead, self.units))
        hidden_bias[..., self.hidden_biased] = biases
        return SplitWeights(
            hidden.reshape(*lead, self.units, self.fan_in).copy(),
            hidden_bias,
            output.reshape(*lead, self.outputs, self.output_fan_in).copy(),
            output_bias.copy() if self.outputs_biased else np.zeros((*lead, self.outputs)),
        )

    def join(self, layers: SplitWeights) -> Floats:
        """The flat vector [..., weight_count], the inverse of `split`."""
        lead = np.shape(layers.output_bias)[:-1]
        parts = [
            np.reshape(layers.hidden, (*lead, -1)),
            np.asarray(layers.hidden_bias)[..., self.hidden_biased],
            np.reshape(layers.output, (*lead, -1)),
        ]
        return np.concatenate(parts + ([layers.output_bias] if self.outputs_biased else []), axis=-1)
