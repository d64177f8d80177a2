"""What the generator derives, evaluated as algebra: the gradients of gates, and what forward keeps for backward."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from codegen_cells import POINTWISE

from carrousel.cells import ALL
from carrousel.codegen.pointwise import derive


@pytest.mark.parametrize("name", POINTWISE)
def test_gradients_of_gates_add_to_backward(name):
    """Without any, backward through gates is backward; each reaches its own row, by its function's slope there."""
    forward, backward, _, through_gates, shown = derive(ALL[name])
    random = np.random.default_rng(1)
    reads = backward.reads | through_gates.reads
    at = {symbol: random.normal() for symbol in {*forward.reads.values(), *reads.values()}}
    stored = evaluate(forward, at)
    at |= {symbol: stored[place] for place, symbol in reads.items() if place in stored}
    gates = {place: symbol for place, symbol in through_gates.reads.items() if place.startswith("dk")}
    assert len(gates) == sum(str(value) in ALL[name].rows for value in shown)
    none = evaluate(through_gates, at | dict.fromkeys(gates.values(), 0.0))
    assert none == pytest.approx(evaluate(backward, at), abs=1e-12)
    for place, symbol in gates.items():
        gate = shown[int(place[3:-1])]
        one = evaluate(through_gates, at | dict.fromkeys(gates.values(), 0.0) | {symbol: 1.0})
        if not forward.values[gate].free_symbols <= set(forward.reads.values()):  # of values too: tests of layers
            continue
        row = f"da[{ALL[name].rows.index(str(gate))}]"
        slopes = [
            at[gate] * (1 - at[gate]),
            1 - at[gate] ** 2,
            (1 - at[gate] ** 2) / 2,
        ]  # sigmoid(a), tanh(a), tanh(a/2)
        assert any(one[row] - none[row] == pytest.approx(slope, abs=1e-12) for slope in slopes)


def evaluate(steps, at):
    """What a function of the C++ stores, in numbers."""
    functions = {
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
        "relu": lambda x: max(x, 0.0),
        "softplus": lambda x: np.logaddexp(x, 0),
        "step_of": lambda x: float(x > 0),
        "less": lambda x, z: float(x < z),
        "less_equal": lambda x, z: float(x <= z),
        "select": lambda mask, x, z: x if mask else z,
    }
    known = {symbol.name: at[symbol] for symbol in steps.reads.values()}
    waiting = dict(steps.values)
    while waiting:
        ready = [s for s, expr in waiting.items() if {u.name for u in expr.free_symbols} <= set(known)]
        for symbol in ready:
            known[symbol.name] = number(waiting.pop(symbol), known, functions)
    return {place: number(expr, known, functions) for place, expr in steps.stores.items()}


def number(expr, known, functions):
    symbols = sorted(expr.free_symbols, key=str)
    return float(sympy.lambdify(symbols, expr, [functions, "numpy"])(*[known[s.name] for s in symbols]))


def test_saved_is_what_backward_cannot_compute():
    shown = {name: " ".join(map(str, derive(cell).shown)) for name, cell in POINTWISE.items()}
    assert shown == {
        "lstm": "i f g o",  # tanh(c') comes from the state
        "gru": "n r z a_m",
        "lstm1997": "i g o",
        "coupled": "i g o",
        "mingru": "z a_g g",  # of a_g the choice and what it chooses are made again
        "minlstm": "a_f f a_i a_g g",
        "slstm": "z i a_f f o v3",
        "peephole": "i f g o",
        "regularized_lstm": "i f g o",  # c~ is made of them and c
        "regularized_gru": "n r z a_m",
        "rnn_tanh": "",  # the new state is all it takes
        "rnn_relu": "",
    }
    saved = {name: " ".join(map(str, derive(cell).saved)) for name, cell in POINTWISE.items()}
    assert {name: values for name, values in saved.items() if values != shown[name]} == {
        "mingru": "z a_g",
        "minlstm": "a_f a_i a_g",
        "slstm": "z a_f o v3",  # of how far i is ahead of what is saved both exponentials are made again
    }
