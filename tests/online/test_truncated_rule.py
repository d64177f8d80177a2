"""The truncated rule of 1997: what it computes, checked against the network's equations without it.

The networks here are drawn large (range 1), so that every term of the rule is large enough to be missed.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from carrousel.online.lstm1997.network import Network
from carrousel.online.lstm1997.reference import Reference

NETWORKS = {
    "S1": Network(3, 2, 2, 1, weight_range=1.0),
    "S2_all_biased": Network(3, 2, 2, 2, biased="all", weight_range=1.0),
    "S3_gates_biased": Network(2, 1, 2, 3, biased="gates", weight_range=1.0),
    "hidden_biased": Network(1, 1, 3, 1, biased="hidden", weight_range=1.0),
    "no_output_gates": Network(3, 3, 1, 1, output_gates=False, connectivity="B", g="g1", h="id", weight_range=1.0),
    "no_output_gates_recurrent": Network(3, 2, 2, 2, output_gates=False, h="id", biased="all", weight_range=1.0),
    "conventional": Network(2, 2, 1, 2, hidden=3, biased="all", weight_range=1.0),
    "conventional_below": Network(2, 2, 1, 1, hidden=2, connectivity="B", biased="all", weight_range=1.0),
    "outputs_see_inputs": Network(3, 2, 2, 2, connectivity="FB", biased="gates and outputs", weight_range=1.0),
    "linear_output": Network(2, 2, 2, 1, biased="all", output="linear", weight_range=1.0),
}
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
T = 7


def data(network):
    rng = np.random.default_rng(5)
    return rng.standard_normal((T, network.inputs)), rng.random((T, network.outputs))


def change_of(network, weights, steps_with_target):
    """The rule's summed change and the hidden units' outputs at every step [T + 1, U], the first being zero."""
    x, targets = data(network)
    reference = Reference(network, weights)
    recorded = [reference.y]
    for t in range(T):
        reference.step(x[t])
        recorded.append(reference.y)
        if t in steps_with_target:
            reference.learn(targets[t])
    return network.join(reference.change), recorded


def half_error(network, weights, steps_with_target, frozen):
    """sum_t E(t) / 2, (16), with the recurrent inputs at what was recorded."""
    x, targets = data(network)
    reference = Reference(network, weights)
    total = 0.0
    for t in range(T):
        y = reference.step(x[t], fed_back=frozen[t])
        if t in steps_with_target:
            total += ((targets[t] - y) ** 2).sum() / 2
    return total


def torch_gradient(network, weights, steps_with_target, detach):
    """-d sum_t E(t) / 2 by autograd: (6)-(9) in torch operations, the hidden layer's view of itself detached."""
    flat = torch.tensor(weights, requires_grad=True)
    n, sizes = network, network.sizes
    hidden, hidden_bias, output, output_bias = flat.split(sizes)
    bias = torch.zeros(n.units, dtype=torch.float64)
    bias[torch.as_tensor(n.hidden_biased)] = hidden_bias
    x, targets = map(torch.as_tensor, data(network))
    s, y, error = torch.zeros(n.cells).double(), torch.zeros(n.units).double(), 0.0
    for t in range(T):
        z = torch.cat([x[t], y.detach() if detach else y]) if n.recurrent else x[t]
        net = hidden.view(n.units, n.fan_in) @ z + bias
        f = torch.sigmoid(net)
        g = 4 * f[: n.cells] - 2 if n.g == "g2" else f[: n.cells]
        s = s + f[n.input_gates].repeat_interleave(n.block_size) * g
        h = torch.tanh(s / 2) if n.h == "h1" else s
        out = f[n.output_gate_units].repeat_interleave(n.block_size) if n.output_gates else 1.0
        y = torch.cat([out * h, f[n.cells :]])
        above = torch.cat([out * h, f[n.conventional]])
        above = torch.cat([x[t], above]) if n.shortcuts else above
        y_k = output.view(n.outputs, n.output_fan_in) @ above + (output_bias if n.outputs_biased else 0)
        y_k = torch.sigmoid(y_k) if n.output == "logistic" else y_k
        if t in steps_with_target:
            error = error + ((targets[t] - y_k) ** 2).sum() / 2
    error.backward()
    return -flat.grad.numpy()


@pytest.mark.parametrize("targets", [range(T), [T - 1]], ids=["every_step", "at_end"])
@every_network
def test_truncated_gradient_is_that_with_recurrent_inputs_frozen(network, targets):
    """By finite differences, to 1e-8, and by autograd, to rounding."""
    weights = network.initial_weights(1)
    change, recorded = change_of(network, weights, targets)
    numeric = np.zeros_like(change)
    for k, step in enumerate(1e-5 * np.eye(len(weights))):
        up, down = (half_error(network, weights + d, targets, recorded) for d in (step, -step))
        numeric[k] = -(up - down) / 2e-5
    assert np.abs(change - numeric).max() < 1e-8
    assert np.abs(change - torch_gradient(network, weights, targets, detach=True)).max() < 1e-14
    assert np.abs(change).max() > 1e-3


@pytest.mark.parametrize("name", ["S2_all_biased", "conventional"])
def test_full_gradient_differs(name):
    """Truncation is not exact where hidden units see themselves: the angle is small, the difference is not rounding."""
    network = NETWORKS[name]
    weights = network.initial_weights(1)
    change, _ = change_of(network, weights, range(T))
    full = torch_gradient(network, weights, range(T), detach=False)
    cosine = change @ full / np.linalg.norm(change) / np.linalg.norm(full)
    assert 0.5 < cosine < 0.9999


def test_without_recurrent_weights_the_truncated_gradient_is_the_full_one():
    network = NETWORKS["no_output_gates"]
    weights = network.initial_weights(1)
    change, _ = change_of(network, weights, range(T))
    assert np.abs(change - torch_gradient(network, weights, range(T), detach=False)).max() < 1e-14


def test_one_step_is_computed_in_the_papers_order():
    """x(t) and the hidden layer at t - 1 feed the hidden layer at t, all units at once; cells at t feed the outputs."""
    network = Network(1, 1, 1, 1, hidden=1, biased="all", weight_range=1.0)
    weights = network.split(network.initial_weights(2))
    reference = Reference(network, network.join(weights))
    y = np.zeros(4)  # cell, input gate, output gate, conventional unit
    s = 0.0

    def logistic(v):
        return 1 / (1 + np.exp(-v))

    for x in (0.7, -1.3, 0.2):
        net = weights.hidden[:, 0] * x + weights.hidden[:, 1:] @ y + weights.hidden_bias
        s += logistic(net[1]) * (4 * logistic(net[0]) - 2)
        y = np.array([logistic(net[2]) * (2 * logistic(s) - 1), logistic(net[1]), logistic(net[2]), logistic(net[3])])
        output = logistic(weights.output[0] @ y[[0, 3]] + weights.output_bias[0])
        assert reference.step([x]) == pytest.approx([output], abs=1e-15)


def closed(network, seed=0):
    """A reference whose input gates are open a little, and its weights."""
    return Reference(network, network.initial_weights(seed))


def test_the_states_own_error_flow_is_one_over_a_thousand_steps():
    """(30), (35): ds(T)/ds(0) with recurrent inputs frozen; the constant error carrousel."""
    network = Network(2, 1, 2, 2, biased="all", input_gate_bias=(-3, -6))
    x = np.random.default_rng(0).uniform(-1, 1, (1000, 2))
    ends = []
    for start in (0.0, 0.5):
        reference = closed(network)
        reference.s = reference.s + start
        for row in x:
            reference.step(row, fed_back=np.zeros(network.units))
        ends.append(reference.s)
    assert np.abs(ends[1] - ends[0] - 0.5).max() < 1e-12


@pytest.mark.parametrize("lag", [1, 10, 1000])
def test_error_flow_is_scaled_at_entry_and_exit_only(lag):
    """(41): y^out(t) h'(s(t)) at t, and g'(net_c) y^in or g(net_c) f'(net_in) at t - lag; nothing between counts."""
    network = Network(1, 1, 1, 1, weight_range=1.0)
    reference = closed(network, 4)
    units, frozen = OneCell(reference), np.zeros(network.units)
    reference.step([1.0], fed_back=frozen)
    entry_c, entry_in = units.entries()
    before = reference.ds_dc.copy(), reference.ds_din.copy()
    for _ in range(lag):
        reference.step([0.0], fed_back=frozen)  # z = 0: what is kept of the entry does not change
    assert (reference.ds_dc[0, 0], reference.ds_din[0, 0]) == (before[0][0, 0], before[1][0, 0])
    assert reference.ds_dc[0, 0] == pytest.approx(entry_c, rel=1e-14)
    assert reference.ds_din[0, 0] == pytest.approx(entry_in, rel=1e-14)
    reference.learn([1.0])
    e_k = reference.y_k * (1 - reference.y_k) * (1 - reference.y_k)
    exit_scale = units.y_out() * units.dh() * reference.weights.output[0, 0] * e_k[0]
    assert reference.change.hidden[0, 0] == pytest.approx(exit_scale * entry_c, rel=1e-13)
    assert reference.change.hidden[1, 0] == pytest.approx(exit_scale * entry_in, rel=1e-13)


class OneCell:
    """The factors of (41) for a network of one cell, written out again."""

    def __init__(self, reference):
        self.reference = reference

    def entries(self):
        c, i, _ = self.logistic = 1 / (1 + np.exp(-self.reference.net))
        return 4 * c * (1 - c) * i, (4 * c - 2) * i * (1 - i)

    def y_out(self):
        return 1 / (1 + np.exp(-self.reference.net[2]))

    def dh(self):
        h = np.tanh(self.reference.s[0] / 2)
        return (1 - h * h) / 2


# ---- section 2.5: what it costs -------------------------------------------------------------------------------------


def test_storage_is_2CSI_and_does_not_grow():
    network = Network(3, 2, 2, 3, biased="all")
    reference = closed(network)
    sizes = []
    for t in range(200):
        reference.step(np.ones(3))
        reference.learn(np.ones(2))
        if t in (0, 199):
            sizes.append({k: np.size(v) for k, v in vars(reference).items() if isinstance(v, np.ndarray)})
    assert sizes[0] == sizes[1]
    assert sizes[0]["ds_dc"] + sizes[0]["ds_din"] == 2 * network.cells * (network.fan_in + 1)


@pytest.mark.parametrize(("K", "C", "S", "H"), [(2, 2, 3, 0), (8, 3, 2, 4), (1, 5, 1, 2)])
def test_operations_of_the_backward_pass(K, C, S, H):
    """A scalar backward pass that multiplies no more often than section 2.5 counts collects what the reference does.

    The paper counts K + 2KH + KC + 2KSC + HI + CI + 4CSI; its KC, for (21), is 2CS here: h(s) times what arrives, and
    y^out h'(s) times it in (23).
    """
    n = Network(3, K, C, S, hidden=H, weight_range=1.0)
    reference = Reference(n, n.initial_weights(0))
    x, target = np.random.default_rng(1).standard_normal((2, 3)), np.full(K, 0.3)
    reference.step(x[0])
    before = reference.ds_dc.copy(), reference.ds_din.copy()
    reference.step(x[1])
    reference.learn(target)
    change, count = scalar_backward(reference, before, target)
    assert np.abs(change - reference.change.hidden).max() < 1e-14
    Z = n.fan_in
    assert count == K + 2 * K * H + 2 * C * S + 2 * K * S * C + H * Z + C * Z + 4 * C * S * Z
    assert count <= 5 * n.weight_count


def scalar_backward(reference, before, target):
    """(19)-(28) with one counted multiplication after another; slopes are factors that the forward pass has left."""
    n, z, count = reference.network, reference.z, 0
    Z, cells = n.fan_in, n.cells
    change = np.zeros((n.units, Z))

    def times(a, b):
        nonlocal count
        count += 1
        return a * b

    slope = reference.y_k * (1 - reference.y_k)
    e = [times(slope[k], target[k] - reference.y_k[k]) for k in range(n.outputs)]  # (19)
    w = reference.weights.output
    arriving = [sum(times(w[k, m], e[k]) for k in range(n.outputs)) for m in range(n.output_fan_in)]
    for k in range(n.outputs):
        for m in range(n.output_fan_in):
            times(e[k], reference.r[m])  # (22)
    f = 1 / (1 + np.exp(-reference.net))
    for i in range(n.hidden):
        e_i = f[n.units - n.hidden + i] * (1 - f[n.units - n.hidden + i]) * arriving[cells + i]  # (20), f' from (6)
        change[n.units - n.hidden + i] = [times(e_i, z[m]) for m in range(Z)]  # (22)
    for j in range(n.blocks):
        gate_in, gate_out = cells + j, cells + n.blocks + j
        of_gate = 0.0
        for c in range(j * n.block_size, (j + 1) * n.block_size):
            h = np.tanh(reference.s[c] / 2)
            of_gate += times(h, arriving[c])  # (21)
            e_s = times(f[gate_out] * (1 - h * h) / 2, arriving[c])  # (23)
            entry_in = (4 * f[c] - 2) * f[gate_in] * (1 - f[gate_in])
            entry_c = 4 * f[c] * (1 - f[c]) * f[gate_in]
            for m in range(Z):
                change[gate_in, m] += times(e_s, before[1][c, m] + times(entry_in, z[m]))  # (25), (26)
                change[c, m] = times(e_s, before[0][c, m] + times(entry_c, z[m]))  # (27), (28)
        e_out = f[gate_out] * (1 - f[gate_out]) * of_gate
        change[gate_out] = [times(e_out, z[m]) for m in range(Z)]  # (22)
    return change, count


def test_weights_that_are_held_do_not_change():
    """With recurrent_cells=False the cells see the inputs only; all other changes are the rule's."""
    held = Network(3, 2, 2, 2, recurrent_cells=False, biased="all", weight_range=1.0)
    weights = held.initial_weights(1)
    into_cells = (slice(held.cells), slice(held.inputs, None))
    assert not held.split(weights).hidden[into_cells].any()
    change, free = (change_of(n, weights, range(T))[0] for n in (held, NETWORKS["S2_all_biased"]))
    expected = held.split(free)
    assert expected.hidden[into_cells].all()
    expected.hidden[into_cells] = 0.0
    assert (change == held.join(expected)).all()
