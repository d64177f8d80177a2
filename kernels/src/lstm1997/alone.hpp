// One network, its cells side by side in vectors. A gate's rows are repeated for each cell of its block, so that everything between the
// sums is element by element: rows are [cells | input gates | output gates | conventional], each padded to whole vectors.
//
// P = cells padded, Q = conventional units padded, L = length of a column of hidden weights, D = 2 P derivatives a column.
#pragma once
#include <cmath>
#include <vector>

#include "activations.hpp"
#include "carrousel/lstm1997.hpp"

namespace carrousel::CARROUSEL_TARGET {

using lstm1997::Errors;
using lstm1997::Network;
using lstm1997::Rule;

template <class F, int N>
class Alone final : public lstm1997::Online<F> {
  using V = vec<F, N>;
  static int padded(int n) { return (n + N - 1) / N * N; }

 public:
  explicit Alone(const Network& network)
      : n(network), cells(n.cells()), P(padded(cells)), Q(padded(n.H)), L((2 + n.output_gates) * P + Q), KP(padded(n.K)), U(n.units()) {
    weights.resize((n.Z() + 1) * L), change.resize(weights.size());
    output.resize((n.M() + 1) * KP), output_change.resize(output.size());
    derivatives.resize((n.Z() + 1) * 2 * P);
    biased.resize(L);
    for (int r = 0; r < L; ++r) biased[r] = unit_of(r) >= 0 && n.biased(unit_of(r));
    s.resize(P), y.resize(U + N), y_next.resize(U + N), net.resize(L), h.resize(P), dh.resize(P);
    y_k.resize(KP), e_k.resize(KP), e_s.resize(P), e_out.resize(P), e_i.resize(Q), back.resize(P);
    coefficients.resize(2 * P), s_kept.resize(P);
  }

  void load(const F* from) override {
    const int Z = n.Z();
    const F* bias = from + int64_t(U) * Z;
    std::vector<F> biases(U);
    for (int u = 0; u < U; ++u) biases[u] = n.biased(u) ? *bias++ : F(0);
    for (int r = 0; r < L; ++r) {
      const int u = unit_of(r);
      for (int m = 0; m <= Z; ++m) weights[m * L + r] = u < 0 ? F(0) : m == Z ? biases[u] : from[int64_t(u) * Z + m];
    }
    const F* output_bias = bias + int64_t(n.K) * n.M();
    for (int k = 0; k < n.K; ++k)
      for (int m = 0; m <= n.M(); ++m)
        output[m * KP + k] = m < n.M() ? bias[int64_t(k) * n.M() + m] : n.outputs_biased ? output_bias[k] : F(0);
  }

  void save(F* to) const override {
    const int Z = n.Z();
    F* bias = to + int64_t(U) * Z;
    for (int u = 0; u < U; ++u) {
      for (int m = 0; m < Z; ++m) to[int64_t(u) * Z + m] = weights[m * L + row_of(u)];
      if (n.biased(u)) *bias++ = weights[Z * L + row_of(u)];
    }
    F* output_bias = bias + int64_t(n.K) * n.M();
    for (int k = 0; k < n.K; ++k) {
      for (int m = 0; m < n.M(); ++m) bias[int64_t(k) * n.M() + m] = output[m * KP + k];
      if (n.outputs_biased) output_bias[k] = output[n.M() * KP + k];
    }
  }

  void reset() override {
    if (waiting) apply();
    forget();
  }

  // Zero activations, states and derivatives; errors that wait are not applied.
  void forget() {
    std::fill(s.begin(), s.end(), F(0));
    std::fill(y.begin(), y.end(), F(0));
    std::fill(derivatives.begin(), derivatives.end(), F(0));
  }

  void learn(const Rule& rule, const F* x, int32_t symbol, const F* target, F* said) override {
    rate = F(rule.rate);
    forward(x, symbol);
    if (rule.learn) credit(x, symbol);
    std::swap(y, y_next);
    respond(x, symbol);
    for (int k = 0; k < n.K; ++k) said[k] = y_k[k];
    if (target && rule.learn) correct(rule, x, symbol, [&](int k) { return target[k]; });
  }

  void predict(const F* x, int32_t symbol, F* said) override {
    std::copy(s.begin(), s.end(), s_kept.begin());
    forward(x, symbol);
    std::swap(y, y_next);
    respond(x, symbol);
    for (int k = 0; k < n.K; ++k) said[k] = y_k[k];
    std::swap(y, y_next);
    std::copy(s_kept.begin(), s_kept.end(), s.begin());
  }

  int64_t memory_size() const override { return 2 + s.size() + y.size() + derivatives.size() + change.size() + output_change.size(); }
  void read_memory(F* to) const override {
    *to++ = waiting, *to++ = rate;
    for (const auto* part : {&s, &y, &derivatives, &change, &output_change}) to = std::copy(part->begin(), part->end(), to);
  }
  void write_memory(const F* from) override {
    waiting = *from++ != 0, rate = *from++;
    for (auto* part : {&s, &y, &derivatives, &change, &output_change}) {
      std::copy(from, from + part->size(), part->begin());
      from += part->size();
    }
  }
  void state(F* s_to, F* y_to) const override {
    std::copy(s.begin(), s.begin() + cells, s_to);
    std::copy(y.begin(), y.begin() + U, y_to);
  }

  // One sequence of a block: `wanted(t)` and `target(t, k)` say what is to be told at step t, said(t) where the outputs go, or null.
  template <class Target, class Wanted, class Said>
  Errors sequence(const Rule& rule, int T, const F* x, const int32_t* symbols, Target target, Wanted wanted, Said said) {
    forget();
    rate = F(rule.rate);
    Errors found;
    F absolute = 0, squared = 0;
    int rows = 0;
    for (int t = 0; t < T; ++t) {
      const F* x_t = x ? x + int64_t(t) * n.I : nullptr;
      const int32_t symbol = symbols ? symbols[t] : -1;
      forward(x_t, symbol);
      if (rule.learn) credit(x_t, symbol);
      std::swap(y, y_next);
      if (!wanted(t)) continue;
      respond(x_t, symbol);
      F largest = 0;
      F* to = said(t);
      for (int k = 0; k < n.K; ++k) {
        const F e = target(t, k) - y_k[k], size = e < 0 ? -e : e;
        largest = size > largest ? size : largest;
        absolute += size, squared += e * e;
        if (to) to[k] = y_k[k];
      }
      // NaN must not pass for a small error
      found.at_end = absolute == absolute ? float(largest) : float(absolute);
      found.largest = found.largest < found.at_end || found.at_end != found.at_end ? found.at_end : found.largest;
      ++rows;
      if (rule.learn) correct(rule, x_t, symbol, [&](int k) { return target(t, k); });
    }
    if (waiting) apply();
    if (rows) found.absolute = float(absolute / F(rows * n.K)), found.squared = float(squared / F(rows * n.K));
    return found;
  }

 private:
  // The hidden unit whose weights row r holds, or -1 for padding; a gate's unit stands in several rows.
  int unit_of(int r) const {
    if (r < L - Q) {
      const int part = r / P, cell = r % P;
      if (cell >= cells) return -1;
      return part == 0 ? cell : cells + (part - 1) * n.C + cell / n.S;
    }
    const int i = r - (L - Q);
    return i < n.H ? U - n.H + i : -1;
  }
  int row_of(int unit) const {
    if (unit < cells) return unit;
    if (unit >= U - n.H) return (2 + n.output_gates) * P + unit - (U - n.H);
    const int gate = unit - cells;
    return (1 + gate / n.C) * P + gate % n.C * n.S;
  }
  static CARROUSEL_INLINE V part(const std::vector<F>& from, int at) { return load_(from.data() + at); }
  static CARROUSEL_INLINE V load_(const F* p) { return carrousel::CARROUSEL_TARGET::load<V>(p); }

  // Net inputs of B vectors of rows, from `at` on: (bias + inputs) + (recurrent, even + odd): two chains are faster than one.
  template <int B>
  void sums(int at, const F* x, int32_t symbol) {
    V a[B], even[B] = {}, odd[B] = {};
    const F* bias = &weights[int64_t(n.Z()) * L + at];
    for (int b = 0; b < B; ++b) a[b] = load_(bias + b * N);
    const F* w = &weights[at];
    if (x) {
      for (int m = 0; m < n.I; ++m)
        for (int b = 0; b < B; ++b) a[b] += load_(w + int64_t(m) * L + b * N) * splat<V>(x[m]);
    } else if (symbol >= 0) {
      for (int b = 0; b < B; ++b) a[b] += load_(w + int64_t(symbol) * L + b * N);
    }
    if (n.recurrent) {
      w += int64_t(n.I) * L;
      int j = 0;
      for (; j + 1 < U; j += 2, w += 2 * L)
        for (int b = 0; b < B; ++b) {
          even[b] += load_(w + b * N) * splat<V>(y[j]);
          odd[b] += load_(w + L + b * N) * splat<V>(y[j + 1]);
        }
      if (j < U)
        for (int b = 0; b < B; ++b) even[b] += load_(w + b * N) * splat<V>(y[j]);
    }
    for (int b = 0; b < B; ++b) store<V>(&net[at + b * N], sigmoid(a[b] + (even[b] + odd[b])));
  }

  // (6)-(9): from x and y one step before to s and y_next; net keeps the units' logistic values.
  CARROUSEL_INLINE void forward(const F* x, int32_t symbol) {
    int at = 0;
    for (; at + 3 * N <= L; at += 3 * N) sums<3>(at, x, symbol);
    if (at + 2 * N == L) sums<2>(at, x, symbol);
    if (at + N == L) sums<1>(at, x, symbol);
    const V one = splat<V>(1), two = splat<V>(2), four = splat<V>(4);
    for (int c = 0; c < P; c += N) {
      const V f = part(net, c), in = part(net, P + c);
      const V g = n.wide_g ? four * f - two : f, f_slope = f * (one - f), in_slope = in * (one - in);
      const V s_new = part(s, c) + in * g;
      store<V>(&coefficients[c], in * (n.wide_g ? four * f_slope : f_slope));  // of (27)
      store<V>(&coefficients[P + c], g * in_slope);                            // of (25)
      store<V>(&s[c], s_new);
      V h_new = s_new, slope = one;
      if (n.squash_h) {
        const V q = sigmoid(s_new);
        h_new = two * q - one, slope = two * (q * (one - q));
      }
      store<V>(&h[c], h_new);
      store<V>(&dh[c], slope);
      store<V>(&y_next[c], n.output_gates ? part(net, 2 * P + c) * h_new : h_new);  // what lies past the cells is written next
    }
    F* gates = &y_next[cells];
    for (int part = 1; part < 2 + n.output_gates; ++part)
      for (int j = 0; j < n.C; ++j) *gates++ = net[part * P + j * n.S];
    for (int i = 0; i < n.H; ++i) *gates++ = net[L - Q + i];
  }

  // (25), (27): the derivatives of s, with what fed the hidden layer at this step.
  CARROUSEL_INLINE void credit(const F* x, int32_t symbol) {
    const int D = 2 * P;
    for (int c = 0; c < D; c += N) {
      const V k = part(coefficients, c);
      const auto add = [&](int m, V term) {
        F* d = &derivatives[int64_t(m) * D + c];
        store<V>(d, load_(d) + term);
      };
      if (x)
        for (int m = 0; m < n.I; ++m) add(m, k * splat<V>(x[m]));
      else if (symbol >= 0)
        add(symbol, k);
      if (n.recurrent)
        for (int j = 0; j < U; ++j) add(n.I + j, k * splat<V>(y[j]));
      add(n.Z(), k);
    }
  }

  // The output units' activations, from the cells' outputs of this step (y).
  CARROUSEL_INLINE void respond(const F* x, int32_t symbol) {
    const int first = n.recurrent ? 0 : n.I;
    for (int k = 0; k < KP; k += N) {
      V a = part(output, n.M() * KP + k);
      if (!n.recurrent && x)
        for (int m = 0; m < n.I; ++m) a += part(output, m * KP + k) * splat<V>(x[m]);
      else if (!n.recurrent && symbol >= 0)
        a += part(output, symbol * KP + k);
      for (int c = 0; c < cells; ++c) a += part(output, (first + c) * KP + k) * splat<V>(y[c]);
      for (int i = 0; i < n.H; ++i) a += part(output, (first + cells + i) * KP + k) * splat<V>(y[U - n.H + i]);
      store<V>(&y_k[k], n.logistic_output ? sigmoid(a) : a);
    }
  }

  // (19)-(24): error signals at a step with a target; y_next holds what fed the hidden layer at this step.
  template <class Target>
  void correct(const Rule& rule, const F* x, int32_t symbol, Target target) {
    for (int k = 0; k < n.K; ++k) {
      const F e = target(k) - y_k[k];
      e_k[k] = rule.entropy || !n.logistic_output ? e : y_k[k] * (F(1) - y_k[k]) * e;  // (19)
    }
    const int first = n.recurrent ? 0 : n.I;
    const auto arriving = [&](int m) {  // sum over k of w_km e_k
      F sum = 0;
      for (int k = 0; k < n.K; ++k) sum += output[(first + m) * KP + k] * e_k[k];
      return sum;
    };
    for (int c = 0; c < cells; ++c) {
      back[c] = arriving(c);
      e_s[c] = (n.output_gates ? net[2 * P + c] * dh[c] : dh[c]) * back[c];  // (23)
    }
    for (int i = 0; i < n.H; ++i) {
      const F f = net[L - Q + i];
      e_i[i] = f * (F(1) - f) * arriving(cells + i);  // (20)
    }
    if (n.output_gates) output_gate_errors();
    collect(x, symbol);
    waiting = true;
    if (rule.each_step) apply();
  }

  void output_gate_errors() {  // (21)
    for (int j = 0; j < n.C; ++j) {
      F sum = 0;
      for (int v = 0; v < n.S; ++v) sum += h[j * n.S + v] * back[j * n.S + v];
      const F f = net[2 * P + j * n.S];
      for (int v = 0; v < n.S; ++v) e_out[j * n.S + v] = f * (F(1) - f) * sum;
    }
  }

  // (22), (24): this step's share of each weight's change.
  void collect(const F* x, int32_t symbol) {
    const int Z = n.Z(), D = 2 * P;
    for (int m = 0; m <= Z; ++m)
      for (int c = 0; c < P; c += N) {
        F* w = &change[int64_t(m) * L + c];
        const F* d = &derivatives[int64_t(m) * D + c];
        store<V>(w, load_(w) + part(e_s, c) * load_(d));
        store<V>(w + P, load_(w + P) + part(e_s, c) * load_(d + P));
      }
    const auto direct = [&](int m, F z) {
      F* w = &change[int64_t(m) * L];
      if (n.output_gates)
        for (int c = 0; c < P; c += N) store<V>(w + 2 * P + c, load_(w + 2 * P + c) + part(e_out, c) * splat<V>(z));
      for (int i = 0; i < Q; i += N) store<V>(w + L - Q + i, load_(w + L - Q + i) + part(e_i, i) * splat<V>(z));
    };
    if (n.output_gates || n.H) {
      if (x)
        for (int m = 0; m < n.I; ++m) direct(m, x[m]);
      else if (symbol >= 0)
        direct(symbol, F(1));
      if (n.recurrent)
        for (int j = 0; j < U; ++j) direct(n.I + j, y_next[j]);
      direct(Z, F(1));
    }
    collect_outputs(x, symbol);
  }

  void collect_outputs(const F* x, int32_t symbol) {
    const int first = n.recurrent ? 0 : n.I;
    const auto add = [&](int m, F z) {
      F* w = &output_change[int64_t(m) * KP];
      for (int k = 0; k < KP; k += N) store<V>(w + k, load_(w + k) + part(e_k, k) * splat<V>(z));
    };
    if (!n.recurrent && x)
      for (int m = 0; m < n.I; ++m) add(m, x[m]);
    else if (!n.recurrent && symbol >= 0)
      add(symbol, F(1));
    for (int c = 0; c < cells; ++c) add(first + c, y[c]);
    for (int i = 0; i < n.H; ++i) add(first + cells + i, y[U - n.H + i]);
    if (n.outputs_biased) add(n.M(), F(1));
  }

  // The weights change by what was collected. A gate's change is the sum over its block's cells (26).
  void apply() {
    const int Z = n.Z();
    for (int m = 0; m <= Z; ++m) {
      F* w = &weights[int64_t(m) * L];
      F* d = &change[int64_t(m) * L];
      if (n.S > 1)
        for (int j = 0; j < n.C; ++j) {
          F sum = d[P + j * n.S];
          for (int v = 1; v < n.S; ++v) sum += d[P + j * n.S + v];
          for (int v = 0; v < n.S; ++v) d[P + j * n.S + v] = sum;
        }
      for (int r = 0; r < L; r += N) {
        const V step = splat<V>(rate) * load_(d + r);
        store<V>(w + r, load_(w + r) + (m < Z ? step : step * part(biased, r)));
        store<V>(d + r, V{});
      }
    }
    for (size_t i = 0; i < output.size(); i += N) {
      store<V>(&output[i], part(output, i) + splat<V>(rate) * part(output_change, i));
      store<V>(&output_change[i], V{});
    }
    waiting = false;
  }

  const Network n;
  const int cells, P, Q, L, KP, U;
  std::vector<F> weights, change;         // [Z + 1, L], biases last
  std::vector<F> output, output_change;   // [M + 1, KP], biases last
  std::vector<F> derivatives;             // [Z + 1, 2 P]   ds/dw of each cell: its own weights, its input gate's
  std::vector<F> biased;                  // [L] 1 where a unit has a bias
  std::vector<F> s, y, y_next;            // states; outputs of the hidden units, before and after the step
  std::vector<F> net, h, dh, coefficients, y_k, e_k, e_s, e_out, e_i, back, s_kept;
  F rate = 0;
  bool waiting = false;                   // there are changes that were not applied
};

}  // namespace carrousel::CARROUSEL_TARGET
