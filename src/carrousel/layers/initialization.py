"""What the parameters of a layer are at first: torch's draw, and what papers found better.

A function here fills the parameters of a whole layer. `weights` of a layer are drawn by one of INITIALISATIONS; the
biases of its gates may then be set by `set_forget_bias` or `set_chrono`.

Letters: I input, H hidden units, P the width of h, N heads, T the longest lag. A *block* are the H lines of a weight
that belong to one row of the cell.

@inproceedings{saxe2014exact,
  author    = {Saxe, Andrew M. and McClelland, James L. and Ganguli, Surya},
  title     = {Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear Neural Networks},
  booktitle = {International Conference on Learning Representations},
  year      = {2014},
}
@inproceedings{glorot2010understanding,
  author    = {Glorot, Xavier and Bengio, Yoshua},
  title     = {Understanding the Difficulty of Training Deep Feedforward Neural Networks},
  booktitle = {Proceedings of AISTATS},
  pages     = {249--256},
  year      = {2010},
}
@article{gers2000learning,
  author  = {Gers, Felix A. and Schmidhuber, J{\\"u}rgen and Cummins, Fred},
  title   = {Learning to Forget: Continual Prediction with {LSTM}},
  journal = {Neural Computation},
  volume  = {12},
  number  = {10},
  pages   = {2451--2471},
  year    = {2000},
}
@inproceedings{jozefowicz2015empirical,
  author    = {Jozefowicz, Rafal and Zaremba, Wojciech and Sutskever, Ilya},
  title     = {An Empirical Exploration of Recurrent Network Architectures},
  booktitle = {Proceedings of ICML},
  pages     = {2342--2350},
  year      = {2015},
}
@inproceedings{tallec2018can,
  author    = {Tallec, Corentin and Ollivier, Yann},
  title     = {Can Recurrent Neural Networks Warp Time?},
  booktitle = {International Conference on Learning Representations},
  year      = {2018},
}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from carrousel.cells import Cell

if TYPE_CHECKING:
    from carrousel.layers.parameters import Parameters


# ---- weights


def uniform(layer: Parameters) -> None:
    """torch.nn's: every parameter from U(-1/sqrt(H), 1/sqrt(H)), in their order."""
    bound = 1.0 / math.sqrt(layer.hidden_size)
    for name, weight in layer.named_parameters():
        if name not in layer._initial_names:
            nn.init.uniform_(weight, -bound, bound)


def orthogonal(layer: Parameters) -> None:
    """Each recurrent block an orthogonal matrix (Saxe 2014), which neither shrinks nor grows what it feeds back; each
    block from below and the projection from Glorot's uniform distribution; all else zero.
    """
    H = layer.hidden_size
    for name, weight in layer.named_parameters():
        if name.startswith("weight_ih"):
            for block in weight.detach().split(H):
                nn.init.xavier_uniform_(block)
        elif name.startswith(("weight_hh", "weight_gh")):
            for block in weight.detach().split(H if layer.proj_size else weight.shape[1]):
                exact = torch.empty(block.shape, dtype=torch.promote_types(block.dtype, torch.float32))
                block.copy_(nn.init.orthogonal_(exact))
        elif name.startswith("weight_hr"):
            nn.init.xavier_uniform_(weight)
        elif name not in layer._initial_names:
            nn.init.zeros_(weight)


def xlstm(layer: Parameters) -> None:
    """As the authors of xLSTM begin: W from N(0, 2/(5 I)), no feedback, and the power law of `set_power_law`."""
    for name, weight in layer.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.normal_(weight, std=math.sqrt(2 / (5 * weight.shape[1])))
        elif name not in layer._initial_names:
            nn.init.zeros_(weight)
    if layer.bias:
        set_power_law(layer)


INITIALISATIONS: dict[str, Callable[[Any], None]] = {"torch": uniform, "orthogonal": orthogonal, "xlstm": xlstm}


# ---- biases of gates


def set_forget_bias(layer: Parameters, bias: float) -> None:
    """The forget gates' bias (Gers 2000; 1 in Jozefowicz 2015): with it they begin open. Of a cell that has an input
    gate alone, which shuts what the other opens, the input gates' bias is its negative.
    """
    for place in places(layer):
        set_gates(layer, place, torch.tensor(float(bias)))


def set_chrono(layer: Parameters, longest_lag: float) -> None:
    """Forget gates that remember for 1 to T - 1 steps (Tallec & Ollivier 2018, equation 16): their bias is log u with u
    from U(1, T - 1), a number for each unit, and the input gates' its negative.
    """
    for place in places(layer):
        u = torch.empty(layer.hidden_size).uniform_(1, longest_lag - 1)
        set_gates(layer, place, u.log(), with_input_gate=True)


def set_power_law(layer: Parameters) -> None:
    """Forget gates from 5 to -7 over the units of a head, the more of them low the higher the layer (Beck 2024, their
    code): 5 - 12 (j / (H/N - 1))^(0.3 + 1.3 r), where r runs from 0 to 1 over the layers.
    """
    width = layer.hidden_size // getattr(layer, "num_heads", 1)
    j = torch.arange(width) / max(width - 1, 1)
    for place in places(layer):
        depth = place // (2 if layer.bidirectional else 1)
        ratio = depth / max(layer.num_layers - 1, 1)
        by_head = 5 - 12 * j ** (0.3 + 1.3 * ratio)
        set_gates(layer, place, by_head.repeat(layer.hidden_size // width))


def places(layer: Parameters) -> Iterator[int]:
    """Every layer and direction [L*D]."""
    return iter(range(len(layer._all_weights)))


def set_gates(layer: Parameters, place: int, forget: Tensor, with_input_gate: bool = False) -> None:
    """The biases of the forget gates [H] of a layer and direction; the input gates' are their negative, where they are
    asked for or stand alone.
    """
    cell = layer.cell
    if cell.forget_gate:
        set_bias(layer, place, cell.forget_gate, forget)
    if cell.input_gate and (with_input_gate or not cell.forget_gate):
        set_bias(layer, place, cell.input_gate, -forget)


def set_bias(layer: Parameters, place: int, row: str, values: Tensor) -> None:
    """The biases of a row: where two vectors are added, beside W x and beside R h, the second is zero."""
    H, rest = layer.hidden_size, values
    for name, rows in (("bias_ih", layer.cell.from_x), ("bias_hh", layer.cell.from_h)):
        if row in rows:
            bias = getattr(layer, next(n for n in layer._all_weights[place] if n.startswith(name)))
            bias.detach()[rows.index(row) * H :][:H].copy_(rest)
            rest = torch.zeros_like(values)


# ---- what is refused


def check_initialisation(cell: Cell, bias: bool, initialise: Any, forget_bias: Any, longest_lag: Any) -> None:
    """Raise ValueError or TypeError unless the options fit each other and the cell."""
    if initialise not in INITIALISATIONS:
        raise ValueError(f"initialise={initialise!r} is not among {', '.join(map(repr, INITIALISATIONS))}")
    given = {"forget_bias": forget_bias, "longest_lag": longest_lag}
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise TypeError(f"{name}={value!r} must be a number")
    if len(given) > 1:
        raise ValueError(f"forget_bias={forget_bias} and longest_lag={longest_lag} set the same biases: give one")
    if longest_lag is not None and longest_lag <= 2:
        raise ValueError(f"longest_lag={longest_lag} must be more than 2, the steps of the longest lag to be bridged")
    if initialise == "xlstm":
        given["initialise"] = initialise
    for name, value in given.items():
        if not (cell.forget_gate or cell.input_gate):
            raise ValueError(
                f"{name}={value!r} sets the bias of forget gates, and the cell {cell.name} has none: leave it out"
            )
        if not bias and name != "initialise":
            raise ValueError(f"{name}={value!r} sets biases, and with bias=False there are none: leave one out")
