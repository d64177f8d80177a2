"""What the parameters of a layer are at first: torch's draw, and what papers found better.

One of INITIALISATIONS fills the weights; `set_forget_bias` or `set_chrono` may then set the biases of the gates.
Functions take the parameters by name, in the order of state_dict, which is that of the random numbers; or as `Weights`
[L][D].

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
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from carrousel.cells import Cell
from carrousel.scan.weights import Weights, heads_of

Named = Sequence[tuple[str, Tensor]]  # parameters by name, without the learned initial states
Stack = list[list[Weights]]  # [L][D]

# ---- weights


def fill_uniform(named: Named, H: int, cell: Cell | None = None, stack: Stack | None = None) -> None:
    """Fill every parameter from U(-1/sqrt(H), 1/sqrt(H)), in their order, as torch.nn does."""
    bound = 1.0 / math.sqrt(H)
    for _, weight in named:
        nn.init.uniform_(weight, -bound, bound)


def fill_orthogonal(named: Named, H: int, cell: Cell, stack: Stack) -> None:
    """Make each recurrent block an orthogonal matrix (Saxe 2014), which neither shrinks nor grows what it feeds back.

    The blocks of W and the projection come from Glorot's uniform distribution; all else is zero.
    """
    is_projected = any(name.startswith("weight_hr") for name, _ in named)
    for name, weight in named:
        if name.startswith("weight_ih"):
            for block in weight.detach().split(H):
                nn.init.xavier_uniform_(block)
        elif name.startswith(("weight_hh", "weight_gh")):
            for block in weight.detach().split(H if is_projected else weight.shape[1]):
                exact = torch.empty(block.shape, dtype=torch.promote_types(block.dtype, torch.float32))
                block.copy_(nn.init.orthogonal_(exact))
        elif name.startswith("weight_hr"):
            nn.init.xavier_uniform_(weight)
        else:
            nn.init.zeros_(weight)


def fill_as_xlstm(named: Named, H: int, cell: Cell, stack: Stack) -> None:
    """Begin as the authors of xLSTM do: W from N(0, 2/(5 I)), R = 0, and the forget gates of `set_power_law`."""
    for name, weight in named:
        if name.startswith("weight_ih"):
            nn.init.normal_(weight, std=math.sqrt(2 / (5 * weight.shape[1])))
        else:
            nn.init.zeros_(weight)
    if stack[0][0].b_x is not None:
        set_power_law(cell, stack, H)


INITIALISATIONS: dict[str, Callable[[Named, int, Cell, Stack], None]] = {
    "torch": fill_uniform,
    "orthogonal": fill_orthogonal,
    "xlstm": fill_as_xlstm,
}


# ---- biases of gates


def set_forget_bias(cell: Cell, stack: Stack, bias: float) -> None:
    """Set the bias of all forget gates (Gers 2000; 1 in Jozefowicz 2015), so that they begin open.

    If the cell has an input gate only, which closes when the other opens, its bias is the negative.
    """
    for weights in (weights for directions in stack for weights in directions):
        set_gates(cell, weights, torch.tensor(float(bias)))


def set_chrono(cell: Cell, stack: Stack, H: int, longest_lag: float) -> None:
    """Forget gates that remember for 1 to T - 1 steps (Tallec & Ollivier 2018, equation 16).

    Their bias is log u with u from U(1, T - 1), one number for each unit; the input gates' is its negative.
    """
    for weights in (weights for directions in stack for weights in directions):
        u = torch.empty(H).uniform_(1, longest_lag - 1)
        set_gates(cell, weights, u.log(), with_input_gate=True)


def set_power_law(cell: Cell, stack: Stack, H: int) -> None:
    """Forget gates from 5 to -7 over the units of a head, more of them low in higher layers (Beck 2024, their code).

    The bias is 5 - 12 (j / (H/N - 1))^(0.3 + 1.3 r), where r runs from 0 to 1 over the layers.
    """
    width = H // heads_of(cell, stack[0][0])
    j = torch.arange(width) / max(width - 1, 1)
    for depth, directions in enumerate(stack):
        ratio = depth / max(len(stack) - 1, 1)
        of_head = 5 - 12 * j ** (0.3 + 1.3 * ratio)
        for weights in directions:
            set_gates(cell, weights, of_head.repeat(H // width))


def set_gates(cell: Cell, weights: Weights, forget: Tensor, with_input_gate: bool = False) -> None:
    """Set the biases of the forget gates [H] of one layer and direction.

    The input gates' become the negative, with `with_input_gate` or if the cell has no forget gate.
    """
    if cell.forget_gate:
        set_bias(cell, weights, cell.forget_gate, forget)
    if cell.input_gate and (with_input_gate or not cell.forget_gate):
        set_bias(cell, weights, cell.input_gate, -forget)


def set_bias(cell: Cell, weights: Weights, row: str, values: Tensor) -> None:
    """Set the biases of a row. If it has two, beside W x and beside R h, which are added, the second becomes zero."""
    for bias, rows in ((weights.b_x, cell.from_x), (weights.b_h, cell.from_h)):
        if bias is not None and row in rows:
            block = bias.detach().unflatten(0, (len(rows), -1))[rows.index(row)]
            block.copy_(values)
            values = torch.zeros_like(values)


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
