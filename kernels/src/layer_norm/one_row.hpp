// A batch of one row whose units are one vector: the steps of NormedForward in registers, without any lookup in between. A step
// waits for a chain of sums over units, beside which the processor should have nothing else to do.
#pragma once
#include "gemm/panels.hpp"
#include "layer_norm/saved.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class NormedOneRow {
  using T = element<V>;
  static constexpr int L = lanes<V>, R = Cell::rows, X = Cell::x_rows, H = Cell::h_rows, S = Cell::states;

 public:
  // Whether the sums of a step fit into one tile, and those over units can be found by halves.
  static constexpr bool fits = H <= max_vectors && merges<H>;

  static bool applies_to(const Sequence<T>& q) {
    return q.rows.B == 1 && q.H == L && !q.rows.batch_sizes && !q.rows.ragged() && !q.rows.resets && !q.gates && q.I <= wide_input;
  }

  // The panels are packed; zeros [H * L].
  NormedOneRow(const Sequence<T>& q, const Panels<Cell, V>& panels, const Saved<Cell, V>& saved, const T* zeros)
      : q(q), panels(panels), saved(saved), zeros(zeros), h(q.initial[0] ? q.initial[0] : zeros) {
    for (int k = 0; k < S; ++k) states[k] = load<V>(q.initial[k] ? q.initial[k] : zeros);
  }

  // The steps [first, last); their LN(W x) gain + b begin at x.
  void run(int64_t first, int64_t last, const T* x, int64_t ld_x) {
    for (int64_t s = first; s < last; ++s, x += ld_x) step((q.rows.reverse ? q.rows.T - 1 - s : s) * q.rows.step_stride, x);
  }

  void finish() const {
    for (int k = 0; k < S; ++k) store<V>(q.final[k], states[k]);
  }

 private:
  const Sequence<T>& q;
  const Panels<Cell, V>& panels;
  const Saved<Cell, V>& saved;
  const T *zeros, *h;  // [H * L]; the address of h before the step
  V states[S];

  CARROUSEL_INLINE void step(int64_t at, const T* x) {
    const Gains<Cell, V> gains{panels.per_unit(0), L};
    T* saved_row = q.saved ? q.saved + at * saved.size() : nullptr;
    alignas(64) T sums[H * L];
    one_row_tile<V, H>(sums, 0, zeros, 0, {}, {&h, panels.h(0), H * L, q.P});
    V by_h[H], rows[R], now[S], weights[Cell::weights], save[Cell::saved + 1], raw{};
#pragma GCC unroll 4
    for (int r = 0; r < H; ++r) by_h[r] = load<V>(sums + r * L);
    const Moments<T> of_h = moments_of(by_h, Cell::epsilon);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) rows[r] = load<V>(r - Cell::x_first < X ? x + (r - Cell::x_first) * L : panels.bias(0) + r * L);
#pragma GCC unroll 4
    for (int r = 0; r < H; ++r) {
      const V v = normalised<V>(by_h[r], of_h, L);
      if (saved_row) store<V>(saved_row + r * L, v);
      rows[Cell::h_first + r] += gains.h(r, 0) * v;
    }
#pragma GCC unroll 16
    for (int w = 0; w < Cell::weights; ++w) weights[w] = load<V>(panels.per_unit(w));
    Cell::before(rows, states, weights, now, save, &raw);
    Moments<T> between;
    if constexpr (Cell::normalises) {
      const V only[] = {raw};
      between = moments_of(only, Cell::epsilon);
      const V normal = normalised<V>(raw, between, L);
      V late[S];
      Cell::after(save, states, now, weights, &normal, late);
      for (int k = 0; k < S; ++k)
        if (Cell::late[k]) now[k] = late[k];
    }
    if (saved_row) saved.put(saved_row, of_h, between);
    T* y = q.y + at * q.ld_y;
    store<V>(y, now[0]);
    for (int k = 0; k < S; ++k) {
      states[k] = now[k];
      if (k && q.history[k]) store<V>(q.history[k] + at * q.H, now[k]);
    }
    h = y;
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
