"""The paper's network, described as the paper describes it; its weights, and how many there are (reference: Table 10).

Letters: I inputs, K outputs, C memory cell blocks, S cells in a block, H conventional hidden units, U hidden units in
all. The units of the hidden layer stand in this order: cells [C*S], block by block, input gates [C], output gates [C]
(where there are some), conventional hidden units [H]. z = [x, y of the hidden layer one step before], [Z], feeds them;
with connectivity "B" z = x. The output layer reads [M]: the cells, then the conventional hidden units; with "B" and
"FB", the inputs before them. Gates feed no output.

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

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

SIZES = {"inputs": 1, "outputs": 1, "blocks": 0, "block_size": 1, "hidden": 0}  # and the least that each may be
CHOICES = {
    "connectivity": ("F", "B", "FB"),
    "biased": ("none", "gates", "gates and outputs", "hidden", "all"),
    "g": ("g2", "g1"),
    "h": ("h1", "id"),
    "output": ("logistic", "linear"),
}

LARGEST = float(np.finfo(np.float32).max)
MOST_WEIGHTS = 2**31 - 1  # the native side counts in int32


def is_number(value: object) -> bool:
    """Whether it is a number as Python or numpy have them; True is none here."""
    return isinstance(value, Real) and not isinstance(value, bool)


def array_of(name: str, values: ArrayLike) -> NDArray:
    """The values as an array of whatever they are.

    Raises:
        ValueError: rows of several lengths, a tensor that wants a gradient, or what else makes no array.
    """
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # torch's tensors raise the latter two
        raise ValueError(f"{name}={reprlib.repr(values)} is no array: {error}") from None


class Weights(NamedTuple):
    """A flat vector of weights, taken apart; what is not there (biases of unbiased units) is zero."""

    hidden: NDArray  # [U, Z]
    hidden_bias: NDArray  # [U]
    output: NDArray  # [K, M]
    output_bias: NDArray  # [K]


@dataclass(frozen=True)
class Network:
    """A network of memory cell blocks.

    Args:
        inputs: I.
        outputs: K.
        blocks: C; 0 leaves connections from the inputs ("B") and conventional hidden units.
        block_size: S, cells in a block, which share its gates.
        hidden: conventional hidden units; no experiment of the paper has any.
        output_gates: without them a cell's output is h(s) (Experiments 2a, 2b).
        connectivity: "F": the hidden layer sees the inputs and itself, the outputs see the hidden layer without its
            gates. "B": each layer sees all layers below, and nothing recurs but the cells' own state. "FB", which the
            paper does not have: the hidden layer as in F, the outputs as in B.
        recurrent_cells: False holds the weights from the hidden layer into the cells at zero, so that cells see the
            inputs only and gates see everything: a reading of Experiment 2c.
        biased: which units have a bias: "none", the "gates", "gates and outputs", all "hidden" units, or "all" that are
            no inputs.
        input_gate_bias: initial values, one a block. None: drawn as all other weights.
        output_gate_bias: initial values, one a block. None: drawn as all other weights.
        weight_range: r; weights are drawn from [-r, r].
        g: squashes the cell's input: "g2" into [-2, 2], "g1" (logistic) into [0, 1].
        h: squashes the cell's state: "h1" into [-1, 1], "id" not at all.
        output: the output units, "logistic" in [0, 1] or "linear".

    Raises:
        ValueError: an impossible description; names the argument and its value.
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
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name}={value!r} must be a whole number of {least} or more")
            object.__setattr__(self, name, int(value))  # numpy's are none that JSON can hold
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r} must be one of {', '.join(map(repr, choices))}")
        for name in ("output_gates", "recurrent_cells"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r} must be True or False")
        if not is_number(self.weight_range) or not 0 <= self.weight_range <= LARGEST:
            raise ValueError(f"weight_range={self.weight_range!r} must be a number of 0 or more, up to {LARGEST:.2g}")
        object.__setattr__(self, "weight_range", float(self.weight_range))
        if not self.feeds:
            raise ValueError(f"blocks={self.blocks} and hidden={self.hidden} leave nothing to feed the outputs")
        if (most := self.units * self.fed_by + self.outputs * self.feeds) > MOST_WEIGHTS:
            sizes = ", ".join(f"{name}={getattr(self, name)}" for name in SIZES)
            raise ValueError(f"{sizes} make {most:,} weights, beside biases; there may be {MOST_WEIGHTS:,}")
        if self.biased in ("gates", "gates and outputs") and not self.blocks:
            raise ValueError(f'biased="{self.biased}" is for gates of blocks, but blocks=0')
        self._check_gate_bias("input_gate_bias")
        self._check_gate_bias("output_gate_bias")

    def _check_gate_bias(self, name: str) -> None:
        values = getattr(self, name)
        if values is None:
            return
        if not isinstance(values, (Sequence, np.ndarray)) or isinstance(values, str) or not all(map(is_number, values)):
            raise ValueError(f"{name}={values!r} must be {self.blocks} numbers, one a block")
        object.__setattr__(self, name, values := tuple(float(value) for value in values))
        if len(values) != self.blocks or not all(abs(value) <= LARGEST for value in values):
            raise ValueError(f"{name}={values} must be {self.blocks} finite numbers, one a block")
        if self.biased == "none":
            raise ValueError(f'{name}={values} is for gates with a bias, but biased="none"')
        if name == "output_gate_bias" and not self.output_gates:
            raise ValueError(f"{name}={values} is for output gates, but output_gates=False")

    @property
    def cells(self) -> int:
        """C * S."""
        return self.blocks * self.block_size

    @property
    def units(self) -> int:
        """U: cells, gates and conventional units."""
        return self.cells + self.blocks * (1 + self.output_gates) + self.hidden

    @property
    def fed_by(self) -> int:
        """Z: what feeds a hidden unit, but its bias."""
        return self.inputs + (self.units if self.recurrent else 0)

    @property
    def recurrent(self) -> bool:
        """Whether the hidden layer sees itself, one step before."""
        return self.connectivity != "B"

    @property
    def shortcuts(self) -> bool:
        """Whether the outputs see the inputs."""
        return self.connectivity != "F"

    @property
    def feeds(self) -> int:
        """M: what feeds an output unit, but its bias."""
        return self.cells + self.hidden + (self.inputs if self.shortcuts else 0)

    @property
    def input_gates(self) -> slice:
        """Where the input gates stand among the hidden units."""
        return slice(self.cells, self.cells + self.blocks)

    @property
    def output_gate_units(self) -> slice:
        """Where the output gates stand among the hidden units; empty where there are none."""
        first = self.cells + self.blocks
        return slice(first, first + self.blocks * self.output_gates)

    @property
    def conventional(self) -> slice:
        """Where the conventional units stand among the hidden units."""
        return slice(self.units - self.hidden, self.units)

    @property
    def hidden_biased(self) -> NDArray:
        """Which hidden units have a bias [U], bool."""
        has = np.full(self.units, self.biased in ("hidden", "all"))
        if self.biased in ("gates", "gates and outputs"):
            has[self.cells : self.units - self.hidden] = True
        return has

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """How many weights of each kind the flat vector holds, in its order: as Weights' fields."""
        output_biases = self.outputs * self.outputs_biased
        return self.units * self.fed_by, int(self.hidden_biased.sum()), self.outputs * self.feeds, output_biases

    @property
    def outputs_biased(self) -> bool:
        """Whether the output units have a bias."""
        return self.biased in ("all", "gates and outputs")

    @property
    def weight_count(self) -> int:
        """W: the weights that learn; the cells' connection to themselves (1.0) is not one."""
        return sum(self.sizes)

    def initial_weights(self, rng: np.random.Generator | int) -> NDArray:
        """Draw weights [weight_count], float64, uniform in [-r, r]; initial values of gate biases are exactly as given.

        Args:
            rng: a generator, from which always weight_count numbers are drawn, or a seed for one.

        Raises:
            ValueError: a seed that is none.
        """
        try:
            rng = np.random.default_rng(rng)
        except (TypeError, ValueError):
            raise ValueError(f"the seed {rng!r} must be a whole number of 0 or more, or a numpy Generator") from None
        weights = rng.uniform(-self.weight_range, self.weight_range, self.weight_count)
        apart = self.split(weights)
        if not self.recurrent_cells:
            apart.hidden[: self.cells, self.inputs :] = 0.0
        for gates, values in (
            (self.input_gates, self.input_gate_bias),
            (self.output_gate_units, self.output_gate_bias),
        ):
            if values is not None:
                apart.hidden_bias[gates] = values
        return self.join(apart)

    def split(self, weights: ArrayLike) -> Weights:
        """Take flat weights [..., weight_count] apart, into copies in float64; leading places stay.

        Raises:
            ValueError: another number of weights, or one that single precision cannot hold.
        """
        given = array_of("weights", weights)
        if given.ndim < 1 or given.shape[-1] != self.weight_count or given.dtype.kind not in "fiub":
            raise ValueError(
                f"weights has shape {list(given.shape)} of {given.dtype}, expected [{self.weight_count}] numbers for "
                "this network"
            )
        flat = given.astype(np.float64)
        good = np.abs(flat) <= LARGEST  # NaN is not
        if not good.all():
            raise ValueError(f"weights holds {flat[~good][0]}; every weight must be finite, up to {LARGEST:.2g}")
        lead = flat.shape[:-1]
        hidden, biases, output, output_bias = np.split(flat, np.cumsum(self.sizes)[:-1], axis=-1)
        hidden_bias = np.zeros((*lead, self.units))
        hidden_bias[..., self.hidden_biased] = biases
        return Weights(
            hidden.reshape(*lead, self.units, self.fed_by).copy(),
            hidden_bias,
            output.reshape(*lead, self.outputs, self.feeds).copy(),
            output_bias.copy() if self.outputs_biased else np.zeros((*lead, self.outputs)),
        )

    def join(self, apart: Weights) -> NDArray:
        """The flat vector [..., weight_count], the reverse of `split`."""
        lead = np.shape(apart.output_bias)[:-1]
        parts = [
            np.reshape(apart.hidden, (*lead, -1)),
            np.asarray(apart.hidden_bias)[..., self.hidden_biased],
            np.reshape(apart.output, (*lead, -1)),
        ]
        return np.concatenate(parts + ([apart.output_bias] if self.outputs_biased else []), axis=-1)
