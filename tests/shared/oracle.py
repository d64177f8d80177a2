"""The cells once more, from the papers, in float64 numpy: one sequence, one step, one gate at a time.

Shares no code with the library, and no trick: no joined products, no batch, no masks. Letters as in the papers. Weights
by name, k blocks of H rows: W [k*H, I], R [k*H, P], b_x and b_h [k*H], c [p*H] for p peepholes, P [P, H].
"""

from __future__ import annotations

import numpy as np


def run(cell, x, states, weights):
    """A cell over one sequence: x [T, I], states [P] or [H] each -> y [T, P], states."""
    y = []
    for x_t in x:
        states = STEPS[cell](x_t, states, weights)
        y.append(states[0])
    return np.array(y), states


def run_batch(cell, x, states, weights, lengths=None, reverse=False):
    """Each row of a batch alone: x [T, B, I], states [B, ...] -> y [T, B, P], zero after a row's end, and states."""
    T, B, _ = x.shape
    rows = []
    for b in range(B):
        own = x[: T if lengths is None else lengths[b], b]
        y, last = run(cell, own[::-1] if reverse else own, [s[b] for s in states], weights)
        y = y[::-1] if reverse else y
        rows.append((np.concatenate([y, np.zeros((T - len(y), y.shape[1]))]), last))
    return np.stack([y for y, _ in rows], axis=1), [np.stack(s) for s in zip(*(last for _, last in rows), strict=True)]


def sigma(x):
    return 1 / (1 + np.exp(-x))


def net_x(weights, blocks, x):
    """W x + b_x, one vector [H] for each block."""
    H = len(weights["W"]) // blocks
    bias = weights.get("b_x", np.zeros(blocks * H))
    return [weights["W"][k * H : (k + 1) * H] @ x + bias[k * H : (k + 1) * H] for k in range(blocks)]


def net_h(weights, blocks, h):
    """R h + b_h, one vector [H] for each block."""
    H = len(weights["R"]) // blocks
    bias = weights.get("b_h", np.zeros(blocks * H))
    return [weights["R"][k * H : (k + 1) * H] @ h + bias[k * H : (k + 1) * H] for k in range(blocks)]


def net(weights, blocks, x, h):
    return [a + b for a, b in zip(net_x(weights, blocks, x), net_h(weights, blocks, h), strict=True)]


def projected(weights, h):
    """Sak 2014: r = W_r m."""
    return weights["P"] @ h if "P" in weights else h


def lstm(x, states, weights):
    """Gers 2000, equations 1 to 6 without blocks of several cells: i, f, g, o."""
    h, c = states
    net_i, net_f, net_g, net_o = net(weights, 4, x, h)
    c = c * sigma(net_f) + sigma(net_i) * np.tanh(net_g)
    return projected(weights, np.tanh(c) * sigma(net_o)), c


def peephole(x, states, weights):
    """Gers 2002: the input and forget gates see the old state, the output gate the new one."""
    h, c = states
    net_i, net_f, net_g, net_o = net(weights, 4, x, h)
    w_ic, w_fc, w_oc = np.split(weights["c"], 3)
    c_new = sigma(net_f + w_fc * c) * c + sigma(net_i + w_ic * c) * np.tanh(net_g)
    return projected(weights, sigma(net_o + w_oc * c_new) * np.tanh(c_new)), c_new


def lstm1997(x, states, weights):
    """Hochreiter & Schmidhuber 1997, appendix A.1: g(x) = 4/(1+e^-x) - 2, h(x) = 2/(1+e^-x) - 1; in, c, out."""
    y, s = states
    net_in, net_c, net_out = net(weights, 3, x, y)
    s = s + sigma(net_in) * (4 / (1 + np.exp(-net_c)) - 2)
    return projected(weights, sigma(net_out) * (2 / (1 + np.exp(-s)) - 1)), s


def coupled(x, states, weights):
    """Greff 2017, CIFG: f = 1 - i; i, g, o."""
    h, c = states
    net_i, net_g, net_o = net(weights, 3, x, h)
    i = sigma(net_i)
    f = 1 - i
    c = f * c + i * np.tanh(net_g)
    return projected(weights, sigma(net_o) * np.tanh(c)), c


def mingru(x, states, weights):
    """Feng 2024, appendix B.2.1 (log-space version): z, h~."""
    (h,) = states
    k, candidate = net_x(weights, 2, x)
    z = sigma(k)
    return ((1 - z) * h + z * np.where(candidate >= 0, candidate + 0.5, sigma(candidate)),)


def minlstm(x, states, weights):
    """Feng 2024, the same for the LSTM, both gates divided by their sum: f, i, h~."""
    (h,) = states
    k_f, k_i, candidate = net_x(weights, 3, x)
    f, i = sigma(k_f), sigma(k_i)
    return (f / (f + i) * h + i / (f + i) * np.where(candidate >= 0, candidate + 0.5, sigma(candidate)),)


def slstm(x, states, weights):
    """Beck 2024, equations 8 to 17; what carries the empty memory (n = 0) has m = -infinity: z, i, f, o."""
    h, c, n, m = states
    net_z, net_i, net_f, net_o = net(weights, 4, x, h)
    log_f = -np.log1p(np.exp(-net_f)) + np.where(n > 0, m, -np.inf)
    m = np.maximum(log_f, net_i)
    i, f = np.exp(net_i - m), np.exp(log_f - m)
    c, n = f * c + i * np.tanh(net_z), f * n + i
    return projected(weights, sigma(net_o) * (c / n)), c, n, m


def gru(x, states, weights):
    """Cho 2014 with the reset gate after the product, as cuDNN's and torch's manuals have it: r, z, n."""
    (h,) = states
    x_r, x_z, x_n = net_x(weights, 3, x)
    h_r, h_z, h_n = net_h(weights, 3, h)
    r, z = sigma(x_r + h_r), sigma(x_z + h_z)
    return ((1 - z) * np.tanh(x_n + r * h_n) + z * h,)


def regularized_lstm(x, states, weights):
    """Semeniuta 2016: d(g) for g; Krueger 2017: d keeps the old c and h. Masks [3, H], or none that does anything."""
    h, c = states
    d_g, d_c, d_h = weights.get("masks", (1, 0, 0))
    net_i, net_f, net_g, net_o = net(weights, 4, x, h)
    c_new = sigma(net_f) * c + sigma(net_i) * d_g * np.tanh(net_g)
    return d_h * h + (1 - d_h) * np.tanh(c_new) * sigma(net_o), d_c * c + (1 - d_c) * c_new


def regularized_gru(x, states, weights):
    """The same of the GRU; masks [2, H]."""
    (h,) = states
    d_n, d_h = weights.get("masks", (1, 0))
    x_r, x_z, x_n = net_x(weights, 3, x)
    h_r, h_z, h_n = net_h(weights, 3, h)
    r, z = sigma(x_r + h_r), sigma(x_z + h_z)
    return (d_h * h + (1 - d_h) * ((1 - z) * d_n * np.tanh(x_n + r * h_n) + z * h),)


def rnn_tanh(x, states, weights):
    """Elman 1990, with tanh."""
    return (projected(weights, np.tanh(net(weights, 1, x, states[0])[0])),)


def rnn_relu(x, states, weights):
    """Elman 1990, with max(x, 0)."""
    return (projected(weights, np.maximum(net(weights, 1, x, states[0])[0], 0)),)


def normalised(v):
    """Ba 2016, equation 3: all numbers of a vector less their mean, over their standard deviation; 1e-5 beside it."""
    mean = sum(v) / len(v)
    variance = sum((v - mean) ** 2) / len(v)
    return (v - mean) / np.sqrt(variance + 1e-5)


def layer_norm_lstm(x, states, weights):
    """Ba 2016, supplement: a = LN(W_h h; alpha_1) + LN(W_x x; alpha_2) + b; the output sees LN(c; alpha_3, beta_3)."""
    h, c = states
    H = len(h)
    alpha_2, alpha_1, alpha_3, beta_3 = np.split(weights["c"], [4 * H, 8 * H, 9 * H])
    a = alpha_1 * normalised(weights["R"] @ h) + alpha_2 * normalised(weights["W"] @ x)
    a = a + weights.get("b_x", 0) + weights.get("b_h", 0)
    i, f, g, o = np.split(a, 4)
    c = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(alpha_3 * normalised(c) + beta_3), c


CELLS = (lstm, peephole, lstm1997, coupled, layer_norm_lstm, slstm, gru, mingru, minlstm, rnn_tanh, rnn_relu)
CELLS = (*CELLS, regularized_lstm, regularized_gru)
STEPS = {step.__name__: step for step in CELLS}
