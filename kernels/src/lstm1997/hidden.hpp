// The hidden layer of one network, its cells side by side in vectors. A gate's rows are repeated for each cell of its block, so
// that everything between the sums is elementwise: rows are [cells | input gates | output gates | conventional], each padded to
// whole vectors.
//
// P = cells padded, Q = conventional units padded, L = length of a column of weights.
#pragma once
#include "lstm1997/array.hpp"
#include "lstm1997/step.hpp"
#include "machine/activations.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <int N>
constexpr int padded(int n) {
  return (n + N - 1) / N * N;
}

template <class F, int N>
struct Hidden {
  using V = vec<F, N>;
  const Network n;
  const int cells, P, Q, L, U, Z;
  Array<F> weights;               // [Z + 1, L], biases last
  Array<F> s, y, y_before;        // states; outputs of the units [U], now and one step before
  Array<F> net, h, dh, entering;  // logistic values [L]; h(s), h'(s) [P]; the coefficients of (27) and of (25) [2 P]

  explicit Hidden(const Network& network)
      : n(network), cells(n.cells()), P(padded<N>(cells)), Q(padded<N>(n.H)), L((2 + n.output_gates) * P + Q), U(n.units()), Z(n.Z()) {
    weights.reset((Z + 1) * L);
    s.reset(P);
    y.reset(U + N);
    y_before.reset(U + N);
    net.reset(L);
    h.reset(P);
    dh.reset(P);
    entering.reset(2 * P);
  }

  // The unit whose weights row r holds, or -1 for padding; a gate's unit has several rows.
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
    if (unit >= U - n.H) return L - Q + unit - (U - n.H);
    const int gate = unit - cells;
    return (1 + gate / n.C) * P + gate % n.C * n.S;
  }

  // Copies from and to the flat weights; both return where the output layer's weights begin.
  const F* load(const F* from) {
    const F* bias = from + int64_t(U) * Z;
    Array<F> biases(U);
    for (int u = 0; u < U; ++u) biases[u] = n.biased(u) ? *bias++ : F(0);
    for (int r = 0; r < L; ++r) {
      const int u = unit_of(r);
      for (int m = 0; m <= Z; ++m) weights[m * L + r] = u < 0 ? F(0) : m == Z ? biases[u] : from[int64_t(u) * Z + m];
    }
    return bias;
  }
  F* save(F* to) const {
    F* bias = to + int64_t(U) * Z;
    for (int u = 0; u < U; ++u) {
      for (int m = 0; m < Z; ++m) to[int64_t(u) * Z + m] = weights[m * L + row_of(u)];
      if (n.biased(u)) *bias++ = weights[Z * L + row_of(u)];
    }
    return bias;
  }

  void forget() {
    s.clear();
    y.clear();
  }

  // (6)-(9): one step.
  CARROUSEL_INLINE void forward(const Input<F>& input) {
    y.swap(y_before);
    int at = 0;
    for (; at + 3 * N <= L; at += 3 * N) sums<3>(at, input);
    if (at + 2 * N == L) sums<2>(at, input);
    if (at + N == L) sums<1>(at, input);
    for (int c = 0; c < P; c += N) cell(c);  // writes past the cells in y, where the gates are written next
    F* gates = &y[cells];
    for (int part = 1; part < 2 + n.output_gates; ++part)
      for (int j = 0; j < n.C; ++j) *gates++ = net[part * P + j * n.S];
    for (int i = 0; i < n.H; ++i) *gates++ = net[L - Q + i];
  }

 private:
  static CARROUSEL_INLINE V at(const Array<F>& from, int place) { return load_(from.data() + place); }
  static CARROUSEL_INLINE V load_(const F* p) { return carrousel::CARROUSEL_TARGET::load<V>(p); }

  // Net inputs of B vectors of rows, from `place` on: (bias + inputs) + (recurrent, even + odd); two chains are faster than one.
  template <int B>
  CARROUSEL_INLINE void sums(int place, const Input<F>& input) {
    V a[B], even[B] = {}, odd[B] = {};
    for (int b = 0; b < B; ++b) a[b] = load_(&weights[int64_t(Z) * L + place + b * N]);
    const F* w = &weights[place];
    input.each(n.I, [&](int m, F x) {
      for (int b = 0; b < B; ++b) a[b] += load_(w + int64_t(m) * L + b * N) * set1<V>(x);
    });
    if (n.recurrent) {
      w += int64_t(n.I) * L;
      int j = 0;
      for (; j + 1 < U; j += 2, w += 2 * L)
        for (int b = 0; b < B; ++b) {
          even[b] += load_(w + b * N) * set1<V>(y_before[j]);
          odd[b] += load_(w + L + b * N) * set1<V>(y_before[j + 1]);
        }
      if (j < U)
        for (int b = 0; b < B; ++b) even[b] += load_(w + b * N) * set1<V>(y_before[j]);
    }
    for (int b = 0; b < B; ++b) store<V>(&net[place + b * N], sigmoid(a[b] + (even[b] + odd[b])));
  }

  CARROUSEL_INLINE void cell(int c) {
    const V one = set1<V>(1), two = set1<V>(2), four = set1<V>(4);
    const V f = at(net, c), in = at(net, P + c);
    const V g = n.wide_g ? four * f - two : f, f_slope = f * (one - f), in_slope = in * (one - in);
    const V s_new = at(s, c) + in * g;
    store<V>(&entering[c], in * (n.wide_g ? four * f_slope : f_slope));
    store<V>(&entering[P + c], g * in_slope);
    store<V>(&s[c], s_new);
    V h_new = s_new, slope = one;
    if (n.squash_h) {
      const V q = sigmoid(s_new);
      h_new = two * q - one;
      slope = two * (q * (one - q));
    }
    store<V>(&h[c], h_new);
    store<V>(&dh[c], slope);
    store<V>(&y[c], n.output_gates ? at(net, 2 * P + c) * h_new : h_new);
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
