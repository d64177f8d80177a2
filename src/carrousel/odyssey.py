"""The eight variants of the search-space odyssey: the LSTM with peepholes, with one thing changed in each.

    i = sigmoid(i + p_i c)    f = sigmoid(f + p_f c)    g = tanh(g)
    c' = f c + i g
    o = sigmoid(o + p_o c')
    h' = o tanh(c')

    NIG   no input gate: i = 1                  NIAF  no input activation: g is its row
    NFG   no forget gate: f = 1                 NOAF  no output activation: h' = o c'
    NOG   no output gate: o = 1                 CIFG  coupled input and forget gate: f = 1 - i
    NP    no peepholes: `carrousel.LSTM`        FGR   full gate recurrence: i, f and o are fed back to i, f and o

The layers have the arguments of `carrousel.cell`'s layers: torch.nn.LSTM's, and compile=True for a kernel, which is
compiled once. What a variant leaves out has no weights.

@article{greff2017lstm,
  author  = {Greff, Klaus and Srivastava, Rupesh K. and Koutn{\\'i}k, Jan and Steunebrink, Bas R. and
             Schmidhuber, J{\\"u}rgen},
  title   = {{LSTM}: A Search Space Odyssey},
  journal = {IEEE Transactions on Neural Networks and Learning Systems},
  volume  = {28},
  number  = {10},
  pages   = {2222--2232},
  year    = {2017},
}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from carrousel.cells import ALL, Cell, sigmoid, tanh
from carrousel.custom_cell import CustomLayer, cell
from carrousel.scan.weights import Weights

__all__ = ["CIFG", "FGR", "NFG", "NIAF", "NIG", "NOAF", "NOG", "NP"]


@cell(rows="fgo", states="hc", weights="fo", forget_gate="f")
def NIG(rows, states, weights):
    """No input gate. hx is (h, c); the blocks of the weights are f g o, the peepholes weight_ch_l{k} [2*H] f o."""
    f, g, o = rows
    _, c = states
    p_f, p_o = weights
    c = sigmoid(f + p_f * c) * c + tanh(g)
    return sigmoid(o + p_o * c) * tanh(c), c


@cell(rows="igo", states="hc", weights="io")
def NFG(rows, states, weights):
    """No forget gate. hx is (h, c); the blocks of the weights are i g o, the peepholes weight_ch_l{k} [2*H] i o."""
    i, g, o = rows
    _, c = states
    p_i, p_o = weights
    c = c + sigmoid(i + p_i * c) * tanh(g)
    return sigmoid(o + p_o * c) * tanh(c), c


@cell(rows="ifg", states="hc", weights="if", forget_gate="f", input_gate="i")
def NOG(rows, states, weights):
    """No output gate. hx is (h, c); the blocks of the weights are i f g, the peepholes weight_ch_l{k} [2*H] i f."""
    i, f, g = rows
    _, c = states
    p_i, p_f = weights
    c = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * tanh(g)
    return tanh(c), c


@cell(rows="ifgo", states="hc", weights="ifo", forget_gate="f", input_gate="i")
def NIAF(rows, states, weights):
    """No input activation function. hx is (h, c); the blocks of the weights are i f g o, the peepholes
    weight_ch_l{k} [3*H] i f o.
    """
    i, f, g, o = rows
    _, c = states
    p_i, p_f, p_o = weights
    c = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * g
    return sigmoid(o + p_o * c) * tanh(c), c


@cell(rows="ifgo", states="hc", weights="ifo", forget_gate="f", input_gate="i")
def NOAF(rows, states, weights):
    """No output activation function. hx is (h, c); the blocks of the weights are i f g o, the peepholes
    weight_ch_l{k} [3*H] i f o.
    """
    i, f, g, o = rows
    _, c = states
    p_i, p_f, p_o = weights
    c = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * tanh(g)
    return sigmoid(o + p_o * c) * c, c


@cell(rows="igo", states="hc", weights="io", input_gate="i")
def CIFG(rows, states, weights):
    """Coupled input and forget gate. hx is (h, c); the blocks of the weights are i g o, the peepholes
    weight_ch_l{k} [2*H] i o. Without peepholes: `carrousel.CoupledLSTM`.
    """
    i, g, o = rows
    _, c = states
    p_i, p_o = weights
    c = c + sigmoid(i + p_i * c) * (tanh(g) - c)
    return sigmoid(o + p_o * c) * tanh(c), c


class NP(CustomLayer):
    """No peepholes: the LSTM itself, as `carrousel.LSTM`, which has a kernel for any `compile`."""

    CELL = ALL["lstm"]


def step_fgr(rows: Sequence[Any], states: Sequence[Any], weights: Sequence[Any]) -> tuple[Any, ...]:
    """The step of `FGR`; i, f and o are states, so that they can be fed back."""
    i, f, g, o = rows
    _, c, *_ = states
    p_i, p_f, p_o = weights
    i, f = sigmoid(i + p_i * c), sigmoid(f + p_f * c)
    c = f * c + i * tanh(g)
    o = sigmoid(o + p_o * c)
    return o * tanh(c), c, i, f, o


class FGR(CustomLayer):
    """Full gate recurrence: the gates of the last step are fed back to the gates, by nine more matrices.

    hx is (h, c, i, f, o), each [L*D, B, H], h [L*D, B, P]; the blocks of the weights are i f g o, the peepholes
    weight_ch_l{k} [3*H] i f o. The last weight of each layer is weight_gh_l{k} [9*H, H]: from i, f and o of the last
    step to i, three blocks, then to f, then to o.

    R has sixteen blocks, the LSTM's has four: forward and backward take 2.0 times the LSTM's time at H = 8, 2.6 times
    at 32, 3.7 times at 256, and are 80, 10 and 2.5 times faster than torch operations, on one thread, by `carrousel
    bench cells --kind FGR --shapes paper-T100,forecast,d2l`. Three blocks, from the gates to g, are zeros and are
    multiplied like the others, which takes about a seventh of the time.
    """

    CELL = Cell(
        "FGR",
        rows="ifgo",
        from_x="ifgo",
        from_h="ifgo",
        states="hcifo",
        step=step_fgr,
        weights="ifo",
        forget_gate="f",
        input_gate="i",
        fed="hifo",
    )

    def _shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        H, P = self.hidden_size, self.proj_size or self.hidden_size
        return super()._shapes(width) | {"weight_hh": (4 * H, P), "weight_gh": (9 * H, H)}

    def _sources(self, names: tuple[str, ...]) -> list[str]:
        return [*super()._sources(names), self._name_of_gates(names)]

    @staticmethod
    def _name_of_gates(names: tuple[str, ...]) -> str:
        return names[1].replace("weight_hh", "weight_gh")

    def _weights(self, names: tuple[str, ...]) -> Weights:
        weights = super()._weights(names)
        gates = getattr(self, self._name_of_gates(names))  # by the gate it goes to, then the gate it comes from
        H, rows = gates.shape[1], torch.tensor([0, 1, 3], device=gates.device)  # i f o; only h goes to g
        by_row = gates.view(3, 3, H, H).transpose(1, 2)
        further = gates.new_zeros(4, H, 3, H).index_copy(0, rows, by_row).view(4 * H, 3 * H)
        return weights._replace(R=torch.cat([weights.R, further], 1))
