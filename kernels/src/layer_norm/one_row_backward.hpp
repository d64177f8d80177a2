// Backward of a batch of one row whose units are one vector: the steps of NormedBackward, in the same order, in registers, without
// any lookup in between.
#pragma once
#include "layer_norm/one_row.hpp"
#include "layer_norm/unit_gradients.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class NormedOneRowBackward {
  using T = element<V>;
  static constexpr int L = lanes<V>, R = Cell::rows, X = Cell::x_rows, H = Cell::h_rows, S = Cell::states;
  static constexpr int own_weights = BackwardStages<Cell, V>::own_weights, summed = R + Cell::weights;

 public:
  // h_panels: R by columns, `columns` of them, as in NormedBackward; zeros [L].
  NormedOneRowBackward(const Sequence<T>& q, const Gradients<T>& d, const Saved<Cell, V>& saved, const BackwardStages<Cell, V>& stages,
                       const T* h_panels, int64_t columns, const T* zeros)
      : q(q), d(d), saved(saved), stages(stages), h_panels(h_panels), columns(columns), zeros(zeros) {}

  // The steps [first, last), from last to first. wx: a row W x [X * L] of each; to: receives a row d(W x), d(R h) [(X + H) * L] of
  // each; sums [summed * L]: receives the gradients of biases, gains and per-unit weights. ds before the steps goes to `stages`.
  void run(int64_t first, int64_t last, const T* wx, int64_t ld_x, T* to, int64_t ld_to, T* sums) {
    V sum[summed] = {};
    for (int64_t s = last - 1; s >= first; --s) {
      T* here = to + (s - first) * ld_to;
      step(s, wx + (s - first) * ld_x, here, sum);
      after = here + X * L;
    }
    for (int k = 0; k < summed; ++k) store<V>(sums + k * L, sum[k]);
    for (int k = 0; k < S; ++k) store<V>(stages.reached(k, 0), ds[k]);
  }

 private:
  const Sequence<T>& q;
  const Gradients<T>& d;
  const Saved<Cell, V>& saved;
  const BackwardStages<Cell, V>& stages;
  const T* h_panels;
  const int64_t columns;
  const T *zeros, *after = nullptr;  // after: d(R h) of the step after
  V ds[S];

  int64_t at(int64_t s) const { return (q.rows.reverse ? q.rows.T - 1 - s : s) * q.rows.step_stride; }
  V history(int k, int64_t at) const { return load<V>(k ? q.history[k] + at * q.H : q.y + at * q.ld_y); }
  static V from(const T* given) { return given ? load<V>(given) : V{}; }

  // The gradient of h after a step.
  CARROUSEL_INLINE V dh(int64_t at) const {
    V sum = d.dy ? load<V>(d.dy + at * d.ld_dy) : V{};
    if (!after) return d.d_final[0] ? sum + load<V>(d.d_final[0]) : sum;
    alignas(64) T start[L];
    store<V>(start, sum + ds[0]);
    one_row_tile<V, 1>(start, 0, start, 0, {}, {&after, h_panels, columns, H * L});
    return load<V>(start);
  }

  // A gradient through LN, that is of (v - mean) scale: from d_hat = gain da, and the means of d_hat and of d_hat times LN over all
  // rows.
  template <int Rows>
  static CARROUSEL_INLINE void through_norm(T* to, const V (&d_hat)[Rows], const V (&hat)[Rows], T scale) {
    V sum{}, sum_hat{};
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) sum += d_hat[r], sum_hat += d_hat[r] * hat[r];
    const V mean = mean_of<Rows>(sum), mean_hat = mean_of<Rows>(sum_hat);
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) store<V>(to + r * L, set1<V>(scale) * (d_hat[r] - mean - hat[r] * mean_hat));
  }
  template <int Rows>
  static CARROUSEL_INLINE V mean_of(V sum) {
    return everywhere(sum) * set1<V>(T(1) / T(Rows * L));
  }

  CARROUSEL_INLINE void step(int64_t s, const T* wx, T* to, V (&sum)[summed]) {
    const int64_t at = this->at(s);
    const T* saved_row = q.saved + at * saved.size();
    const Gains<Cell, V> gains{stages.per_unit(), L};
    const Moments<T> of_x = saved.of_x(saved_row), between = saved.between(saved_row);
    V old[S], now[S], d_now[S], weights[Cell::weights], save[Cell::saved + 1], rows[R], x_hat[X], h_hat[H];
#pragma GCC unroll 4
    for (int k = 0; k < S; ++k) {
      old[k] = s ? history(k, this->at(s - 1)) : from(q.initial[k]);
      if (Cell::reads_new[k]) now[k] = history(k, at);
      d_now[k] = after ? ds[k] : from(d.d_final[k]);
      if (d.d_history[k]) d_now[k] += load<V>(d.d_history[k] + at * q.H);
    }
    d_now[0] = dh(at);
#pragma GCC unroll 16
    for (int w = 0; w < Cell::weights; ++w) weights[w] = load<V>(stages.per_unit() + w * L);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) rows[r] = load<V>(stages.bias() + r * L);
#pragma GCC unroll 4
    for (int r = 0; r < X; ++r) rows[Cell::x_first + r] += gains.x(r, 0) * (x_hat[r] = normalised<V>(load<V>(wx + r * L), of_x, L));
#pragma GCC unroll 4
    for (int r = 0; r < H; ++r) rows[Cell::h_first + r] += gains.h(r, 0) * (h_hat[r] = load<V>(saved_row + r * L));
    V again[S], raw{}, normal{}, d_raw{}, held[Cell::held + 1], d_save[Cell::saved + 1] = {};
    Cell::before(rows, old, weights, again, save, &raw);
    if constexpr (Cell::normalises) {
      normal = normalised<V>(raw, between, L);
      V d_normal;
      Cell::backward_after(save, old, now, weights, &normal, d_now, d_save, &d_normal, held);
      d_raw = set1<V>(between.scale) * (d_normal - mean_of<1>(d_normal) - normal * mean_of<1>(d_normal * normal));
    }
    V d_rows[R], d_weights[Cell::weights], d_hat[X], d_h_hat[H];
    Cell::backward_before(save, old, now, weights, &normal, d_now, d_save, &d_raw, held, d_rows, ds, d_weights);
#pragma GCC unroll 4
    for (int r = 0; r < H; ++r) d_h_hat[r] = gains.h(r, 0) * d_rows[Cell::h_first + r];
    through_norm<H>(to + X * L, d_h_hat, h_hat, saved.of_h(saved_row).scale);
#pragma GCC unroll 4
    for (int r = 0; r < X; ++r) d_hat[r] = gains.x(r, 0) * d_rows[Cell::x_first + r];
    through_norm<X>(to, d_hat, x_hat, of_x.scale);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sum[r] += d_rows[r];
#pragma GCC unroll 4
    for (int r = 0; r < X; ++r) sum[R + r] += d_rows[Cell::x_first + r] * x_hat[r];
#pragma GCC unroll 4
    for (int r = 0; r < H; ++r) sum[R + X + r] += d_rows[Cell::h_first + r] * h_hat[r];
    for (int w = 0; w < own_weights; ++w) sum[R + X + H + w] += d_weights[Gains<Cell, V>::count + w];
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
