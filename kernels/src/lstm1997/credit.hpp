// The memory of the truncated rule, ds/dw of each cell (25), (27), and the changes of the hidden layer's weights (22), (24), (26),
// (28).
#pragma once
#include "lstm1997/hidden.hpp"

namespace carrousel::CARROUSEL_TARGET {

// Which inputs have been on since the sequence began, if there are many.
class Seen {
 public:
  explicit Seen(int I) : is(I > small_alphabet ? I : 0), list(is.size()) {}
  CARROUSEL_INLINE void add(int m) {
    if (!is[m]) is[m] = true, list[count++] = m;
  }
  void add_all() {
    for (int64_t m = 0; m < is.size(); ++m) add(int(m));
  }
  void clear() {
    is.clear();
    count = 0;
  }
  CARROUSEL_INLINE const int* begin() const { return list.data(); }
  CARROUSEL_INLINE const int* end() const { return list.data() + count; }

 private:
  Array<uint8_t> is;
  Array<int> list;
  int count = 0;
};

// Of many inputs few are on. While an input is off its ds/dw are constant, so that its weights change by ds/dw times the sum of the
// errors meanwhile: `error_sum` less its value when the column was last settled. A step costs one column, however many there are.
template <class F, int N>
struct Credit {
  using V = vec<F, N>;
  const Network n;
  const int P, Q, L, Z, U;
  const bool many;              // inputs
  Seen seen;
  Array<F> derivatives;         // [Z + 1, 2 P]   of each cell: by its own weights, by its input gate's
  Array<F> change;              // [Z + 1, L]
  Array<F> error_sum, settled;  // [P]; [I, P], or nothing where inputs are few
  Array<F> biased;              // [L] 1 if a unit has a bias
  Array<F> e_s, e_out, e_i;     // error signals of this step [P], [P], [Q]

  explicit Credit(const Hidden<F, N>& hidden)
      : n(hidden.n), P(hidden.P), Q(hidden.Q), L(hidden.L), Z(hidden.Z), U(hidden.U), many(n.I > small_alphabet), seen(n.I) {
    derivatives.reset((Z + 1) * 2 * P);
    change.reset((Z + 1) * L);
    error_sum.reset(P);
    settled.reset(many ? n.I * P : 0);
    biased.reset(L);
    for (int r = 0; r < L; ++r) biased[r] = hidden.unit_of(r) >= 0 && n.biased(hidden.unit_of(r));
    e_s.reset(P);
    e_out.reset(P);
    e_i.reset(Q);
  }

  void forget() {
    each_column([&](int m) { std::fill_n(&derivatives[int64_t(m) * 2 * P], 2 * P, F(0)); });
    for (int m : seen) std::fill_n(&settled[int64_t(m) * P], P, F(0));
    error_sum.clear();
    seen.clear();
  }

  // (25), (27): adds this step's inputs of the hidden layer to the derivatives of s.
  CARROUSEL_INLINE void accumulate(const Input<F>& input, const Hidden<F, N>& hidden) {
    if (many) input.each(n.I, [&](int m, F) { seen.add(m), settle(m); });
    for (int c = 0; c < 2 * P; c += N) {
      const V k = at(hidden.entering, c);
      const auto add = [&](int m, V term) {
        F* d = &derivatives[int64_t(m) * 2 * P + c];
        store<V>(d, load_(d) + term);
      };
      input.each(n.I, [&](int m, F x) { add(m, k * set1<V>(x)); });
      if (n.recurrent)
        for (int j = 0; j < U; ++j) add(n.I + j, k * set1<V>(hidden.y_before[j]));
      add(Z, k);
    }
  }

  // Adds this step's part of each weight's change, from its error signals.
  void collect(const Input<F>& input, const Hidden<F, N>& hidden) {
    for (int m = many ? n.I : 0; m <= Z; ++m)
      for (int c = 0; c < P; c += N) by_states(m, c, at(e_s, c));
    for (int c = 0; c < P && many; c += N) store<V>(&error_sum[c], at(error_sum, c) + at(e_s, c));
    if (!n.output_gates && !n.H) return;
    input.each(n.I, [&](int m, F x) { directly(m, x); });
    if (n.recurrent)
      for (int j = 0; j < U; ++j) directly(n.I + j, hidden.y_before[j]);
    directly(Z, F(1));
  }

  // Changes the weights by what was collected. A gate's change is the sum over its block's cells (26).
  void apply(F rate, Hidden<F, N>& hidden) {
    for (int m : seen) settle(m);
    each_column([&](int m) {
      F* w = &hidden.weights[int64_t(m) * L];
      F* d = &change[int64_t(m) * L];
      for (int j = 0; j < n.C && n.S > 1; ++j) {
        F sum = d[P + j * n.S];
        for (int v = 1; v < n.S; ++v) sum += d[P + j * n.S + v];
        for (int v = 0; v < n.S; ++v) d[P + j * n.S + v] = sum;
      }
      for (int r = 0; r < L; r += N) {
        const V step = set1<V>(rate) * load_(d + r);
        store<V>(w + r, load_(w + r) + (m < Z ? step : step * at(biased, r)));
        store<V>(d + r, V{});
      }
    });
  }

 private:
  static CARROUSEL_INLINE V at(const Array<F>& from, int place) { return load_(from.data() + place); }
  static CARROUSEL_INLINE V load_(const F* p) { return carrousel::CARROUSEL_TARGET::load<V>(p); }

  template <class Visit>  // for the columns whose derivatives may be nonzero
  CARROUSEL_INLINE void each_column(Visit visit) const {
    for (int m : seen) visit(m);
    for (int m = many ? n.I : 0; m <= Z; ++m) visit(m);
  }

  // (24): adds to the m-th column what the states' errors e, of the vector at c, give.
  CARROUSEL_INLINE void by_states(int m, int c, V e) {
    F* w = &change[int64_t(m) * L + c];
    const F* d = &derivatives[int64_t(m) * 2 * P + c];
    if (n.recurrent_cells || m < n.I || m == Z) store<V>(w, load_(w) + e * load_(d));
    store<V>(w + P, load_(w + P) + e * load_(d + P));
  }

  CARROUSEL_INLINE void settle(int m) {
    for (int c = 0; c < P; c += N) {
      F* before = &settled[int64_t(m) * P + c];
      by_states(m, c, at(error_sum, c) - load_(before));
      store<V>(before, at(error_sum, c));
    }
  }

  // (22), for output gates and conventional units.
  CARROUSEL_INLINE void directly(int m, F z) {
    F* w = &change[int64_t(m) * L];
    if (n.output_gates)
      for (int c = 0; c < P; c += N) store<V>(w + 2 * P + c, load_(w + 2 * P + c) + at(e_out, c) * set1<V>(z));
    for (int i = 0; i < Q; i += N) store<V>(w + L - Q + i, load_(w + L - Q + i) + at(e_i, i) * set1<V>(z));
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
