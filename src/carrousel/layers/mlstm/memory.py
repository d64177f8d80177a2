"""mLSTM's memory, a matrix for each head: a step of it, and the initial values of the weights.

    m' = max(log f + m, i)    f' = exp(log f + m - m')    i' = exp(i - m')
    C' = f' C + i' k v^T      n' = f' n + i' k
    h' = C'^T q / max(|n'.q|, exp(-m'))

Zeros are the empty memory.

Letters: T time, B batch, I input, H hidden units, N heads, d = H/N.

@inproceedings{beck2024xlstm,
  author    = {Beck, Maximilian and P{\\"o}ppel, Korbinian and Spanring, Markus and Auer, Andreas and
               Prudnikova, Oleksandra and Kopp, Michael and Klambauer, G{\\"u}nter and Brandstetter, Johannes and
               Hochreiter, Sepp},
  title     = {{xLSTM}: Extended Long Short-Term Memory},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {37},
  year      = {2024},
}
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from carrousel.cells import Cell
from carrousel.scan.weights import Weights


class Memory(NamedTuple):
    """What goes from step to step."""

    C: Tensor  # [B, N, d, d]  keys by values
    n: Tensor  # [B, N, d]
    m: Tensor  # [B, N]


class Inputs(NamedTuple):
    """What the steps are computed from; without T for one step."""

    q: Tensor  # [B, N, T, d]
    k: Tensor  # [B, N, T, d]  divided by sqrt(d)
    v: Tensor  # [B, N, T, d]
    i: Tensor  # [B, N, T]     before its exponential
    log_f: Tensor  # [B, N, T]


def split_rows(rows: Tensor, N: int) -> tuple[Inputs, Tensor]:
    """W x + b [.., 4*H + 2*N] -> q k v [.., N, d], i and log f [.., N]; and the output gates [.., H]."""
    H = (rows.shape[-1] - 2 * N) // 4
    *wide, o, i, f = rows.split([H, H, H, H, N, N], -1)
    q, k, v = (row.unflatten(-1, (N, -1)) for row in wide)
    return Inputs(q, k / math.sqrt(H // N), v, i, logsigmoid(f)), torch.sigmoid(o)


def lowest_divisor(m: Tensor) -> Tensor:
    """exp(-m), the least divisor, even of a query of zeros. It does not overflow where h is zero to the last digit."""
    return torch.exp(-m.clamp(-80, 80))


def step(of_step: Inputs, memory: Memory) -> tuple[Tensor, Memory]:
    """h of one step [B, N, d], and the memory after it."""
    q, k, v, i, log_f = of_step
    C, n, m = memory
    m_new = torch.maximum(log_f + m, i)
    f_new, i_new = torch.exp(log_f + m - m_new)[..., None], torch.exp(i - m_new)[..., None]
    C = f_new[..., None] * C + (i_new * k)[..., :, None] * v[..., None, :]
    n = f_new * n + i_new * k
    divisor = torch.maximum((q * n).sum(-1).abs(), lowest_divisor(m_new))
    return (q[..., None, :] @ C)[..., 0, :] / divisor[..., None], Memory(C, n, m_new)


def step_of_cell(rows: Sequence[Tensor], states: Sequence[Tensor]) -> Memory:
    """A step as a cell has it: rows q k v o [B, N, d] and i f [B, N] of all heads, and the memory -> the memory."""
    q, k, v, _, i, f = rows
    return step(Inputs(q, k / math.sqrt(k.shape[-1]), v, i, logsigmoid(f)), Memory(*states))[1]


# Not one of carrousel.cells, which go unit by unit: what layers ask of their cell. h is no state: it is read from C.
CELL = Cell(
    "mlstm", "qkvoif", from_x="qkvoif", from_h="", states="Cnm", step=step_of_cell, forget_gate="f", input_gate="i"
)


# ---- initial values, and options that are refused


def check_matrix_options(given: Mapping[str, Any]) -> None:
    """Raise ValueError if an option of other layers makes no sense here."""
    if "proj_size" in given:
        raise ValueError(f"proj_size={given['proj_size']} does not go with MLSTM, which feeds no h back: leave it out")
    if given.get("initialise") == "orthogonal":
        raise ValueError(
            "initialise='orthogonal' makes recurrent weights orthogonal matrices, and MLSTM has no recurrent "
            "weights: choose 'xlstm' or 'torch'"
        )


def fill_as_the_authors(weights: Weights, N: int) -> None:
    """Weights from N(0, 2/(5 I)); the gates of the heads depend on their biases only, those of f from 3 to 6."""
    weight, bias = weights.W, weights.b_x
    nn.init.normal_(weight[: -2 * N], std=math.sqrt(2 / (5 * weight.shape[1])))
    nn.init.zeros_(weight[-2 * N :])
    if bias is not None:
        nn.init.zeros_(bias[: -2 * N])
        nn.init.normal_(bias[-2 * N : -N], std=0.1)
        bias[-N:].copy_(torch.linspace(3, 6, N))


def set_head_gates(weights: Weights, N: int, forget_bias: float | None, longest_lag: float | None) -> None:
    """Set the biases of the gates of N heads, as `set_forget_bias` and `set_chrono` do of other cells."""
    if weights.b_x is None:
        return
    i, f = weights.b_x[-2 * N :].split(N)
    if forget_bias is not None:
        f.fill_(forget_bias)
    if longest_lag is not None:
        f.copy_(torch.empty(N).uniform_(1, longest_lag - 1).log())
        i.copy_(-f)
