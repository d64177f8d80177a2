"""Section 3 of the 1997 paper: how error flows back through units without a constant error carrousel."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

N = 4


def logistic(x):
    return 1 / (1 + np.exp(-x))


class Conventional:
    """A fully recurrent logistic network, net_i(t) = sum_j w_ij y^j(t-1), that has run for some steps."""

    def __init__(self, seed, steps, largest=0.9):
        rng = np.random.default_rng(seed)
        self.W = rng.uniform(-largest, largest, (N, N))
        self.start = rng.uniform(0.2, 0.8, N)
        self.nets = self.run(np.zeros((steps, N)))

    def run(self, pushes):
        """Net inputs at every step, `pushes` [T, N] being added to them."""
        y, nets = self.start, []
        for push in pushes:
            nets.append(self.W @ y + push)
            y = logistic(nets[-1])
        return np.array(nets)

    def slopes(self, q):
        """f' of the nets at t-1, ..., t-q [q, N], t being the last step."""
        f = logistic(self.nets[-1 - np.arange(1, q + 1)])
        return f * (1 - f)


def recursion(W, slopes, u, v):
    """(1), as the paper writes it: from q = 1 on."""
    factor = slopes[0] * W[u]  # of every v at once: f'_v(net_v(t-1)) w_uv
    for slope in slopes[1:]:
        factor = slope * (factor @ W)  # f'_v(net_v(t-q)) sum_l factor_l w_lv
    return factor[v]


def all_paths(W, slopes, u, v):
    """(2): the sum over all units l_1 ... l_(q-1) on the way, l_0 = u, l_q = v."""
    q, total = len(slopes), 0.0
    for between in product(range(N), repeat=q - 1):
        way = (u, *between, v)
        total += np.prod([slopes[m - 1][way[m]] * W[way[m - 1], way[m]] for m in range(1, q + 1)])
    return total


@pytest.mark.parametrize("q", [1, 2, 3, 5])
def test_the_recursion_is_the_sum_over_all_paths(q):
    net = Conventional(q, steps=8)
    for u, v in ((0, 0), (1, 3), (2, 0)):
        paths = all_paths(net.W, net.slopes(q), u, v)
        assert recursion(net.W, net.slopes(q), u, v) == pytest.approx(paths, rel=1e-12)


@pytest.mark.parametrize("q", [1, 2, 4])
def test_it_is_how_an_error_at_a_net_input_depends_on_one_q_steps_before(q):
    """theta_v(t-q) / theta_u(t) is d net_u(t) / d net_v(t-q): by finite differences in a network that runs."""
    steps, u, v, by = 7, 1, 2, 1e-6
    net = Conventional(q, steps)
    pushes = np.zeros((steps, N))
    pushes[-1 - q, v] = by
    measured = (net.run(pushes)[-1, u] - net.run(-pushes)[-1, u]) / (2 * by)
    assert recursion(net.W, net.slopes(q), u, v) == pytest.approx(measured, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("q", range(1, 12))
def test_error_flow_vanishes_at_least_exponentially_where_weights_are_below_four_over_n(q):
    """|factor| <= n (f'_max)^q |W_v|_x |W_u|_x |W|_A^(q-2) <= n tau^q, tau = n w_max / 4."""
    for seed in range(20):
        net = Conventional(seed, steps=14, largest=3.9 / N)
        tau = N * np.abs(net.W).max() / 4
        factors = [recursion(net.W, net.slopes(q), u, v) for u in range(N) for v in range(N)]
        assert tau < 1
        assert np.abs(factors).max() <= N * tau**q


def test_error_flow_grows_where_slope_times_weight_is_above_one():
    W, slopes = np.array([[5.0]]), np.full((10, 1), 0.25)
    assert recursion(W, slopes, 0, 0) == pytest.approx(1.25**10)


def test_constant_error_flow_needs_a_linear_unit_with_a_self_connection_of_one():
    """f'_j w_jj = 1 for all nets: f_j(x) = x / w_jj; then y_j(t+1) = y_j(t)."""
    assert recursion(np.array([[1.0]]), np.ones((1000, 1)), 0, 0) == 1.0
    for weight in (0.999, 1.001):
        assert abs(np.log(recursion(np.array([[weight]]), np.ones((1000, 1)), 0, 0))) > 0.99


def test_larger_weights_do_not_help_a_logistic_unit():
    """|f'(net) w| with net = w y has its maximum where w y = 1.5434, 0.22387 / y, and goes to 0 for large w."""
    w = np.linspace(0.001, 200, 400_001)
    for y in (0.25, 0.5, 1.0):
        flow = logistic(w * y) * (1 - logistic(w * y)) * w
        assert w[flow.argmax()] * y == pytest.approx(1.5434, abs=1e-3)
        assert flow.max() == pytest.approx(0.22387 / y, abs=1e-5)
        assert flow[-1] < 1e-15
        assert (np.abs(flow) < 1).all()


def flow(W, slopes, u, v):
    """(1): how an error at unit u scales on its way back to unit v, over len(slopes) steps; slopes[m-1]: f' at t-m."""
    at = W[u] * slopes[0]  # dtheta_l(t-1)/dtheta_u(t) = f'_l(net_l(t-1)) w_ul
    for slope in slopes[1:]:
        at = slope * (at @ W)
    return at[v]


@pytest.mark.parametrize("q", [2, 5, 12])
def test_recursion_matrix_form_and_bound(q):
    n = 5
    rng = np.random.default_rng(q)
    W = rng.uniform(-0.7, 0.7, (n, n))  # |w| <= w_max < 4 / n
    slopes = 1 / (1 + np.exp(-rng.standard_normal((q, n))))
    slopes = slopes * (1 - slopes)
    u, v = 1, 3
    product = W[u] @ np.diag(slopes[0])
    for slope in slopes[1:-1]:
        product = product @ W @ np.diag(slope)
    matrix_form = product @ W[:, v] * slopes[-1, v]
    assert flow(W, slopes, u, v) == pytest.approx(matrix_form, rel=1e-12)
    tau = n * np.abs(W).max() / 4
    assert tau < 1
    assert abs(matrix_form) <= n * tau**q


def test_logistic_slopes_vanish_below_four():
    x = np.linspace(-30, 30, 600_001)
    slope = 1 / (1 + np.exp(-x)) * (1 - 1 / (1 + np.exp(-x)))
    assert slope.max() == pytest.approx(0.25)
    w = np.linspace(0.01, 20, 100_000)  # net = w y with y = 1: |f' w| is largest where w = coth(w / 2) / y
    f = 1 / (1 + np.exp(-w))
    best = w[np.argmax(f * (1 - f) * w)]
    assert best == pytest.approx(1 / np.tanh(best / 2), abs=1e-3)
    assert (f * (1 - f) * w).max() == pytest.approx(0.22387, abs=1e-5)
