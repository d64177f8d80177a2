"""What the tests of regularised layers share: the layers, their rates and sizes."""

from __future__ import annotations

import torch
from sequences import same_bits

import carrousel

F64 = torch.float64
KINDS = {"LSTM": carrousel.LSTM, "GRU": carrousel.GRU}
RATES = {"recurrent_dropout": 0.3, "variational_dropout": (0.2, 0.4), "drop_connect": 0.25}
ALL_OF = {"LSTM": {**RATES, "zoneout": (0.4, 0.1)}, "GRU": {**RATES, "zoneout": 0.2}}
OPTIONS = {
    "recurrent_dropout": {"recurrent_dropout": 0.3},
    "variational_dropout": {"variational_dropout": 0.3},
    "variational_dropout_of_x": {"variational_dropout": (0.3, 0)},
    "variational_dropout_of_h": {"variational_dropout": (0, 0.3)},
    "zoneout": {"zoneout": 0.3},
    "drop_connect": {"drop_connect": 0.3},
}
T, B, I, H = 6, 4, 3, 9


def make(kind: str, **options):
    torch.manual_seed(0)
    return KINDS[kind](I, H, **{"dtype": F64, **options})


def states_of(outputs) -> list[torch.Tensor]:
    y, hx = outputs[:2]
    return [y, *(hx if isinstance(hx, tuple) else (hx,))]


def assert_same(first, second):
    assert all(map(same_bits, states_of(first), states_of(second)))
