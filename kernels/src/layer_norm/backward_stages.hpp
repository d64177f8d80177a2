// Backward of a normalised cell from dh to d(W x) and d(R h) of a row at a step: the pointwise stages, and what lies between them.
#pragma once
#include "gemm/pack.hpp"
#include "layer_norm/row_sets.hpp"
#include "layer_norm/saved.hpp"
#include "machine/workspace.hpp"
#include "sequence/states.hpp"
#include "sequence/time.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class BackwardStages {
  using T = element<V>;
  static constexpr int L = lanes<V>, R = Cell::rows, X = Cell::x_rows, H = Cell::h_rows, S = Cell::states;

  const Sequence<T>& q;
  const Gradients<T>& d;
  const RowBlocks<Cell, V>& shape;
  const Steps& steps;
  const States<T>& states;
  const Saved<Cell, V>& saved;

 public:
  static constexpr int own_weights = Cell::weights - Gains<Cell, V>::count;  // other per-unit weights than the gains of rows

  BackwardStages(const Sequence<T>& q, const Gradients<T>& d, const RowBlocks<Cell, V>& shape, const Steps& steps, const States<T>& states,
                 const Saved<Cell, V>& saved)
      : q(q), d(d), shape(shape), steps(steps), states(states), saved(saved) {}

  void lay_out(Arena& arena, const RowSets& sets, int threads) {
    biases = arena.take<T>(R * shape.padded);
    units = arena.take<T>(Cell::weights * shape.padded);
    for (int k = 0; k < S; ++k) ds[k] = arena.take<T>(q.rows.B * shape.padded);
    each = sets.each();
    scratch = arena.take<T>(threads * each * (da_size + dp_size + row_size));
  }

  void prepare(Member me) {
    for (int64_t g = me.first(shape.groups); g < me.last(shape.groups); ++g) pack_bias<Cell, V>(biases + g * L * R, q.b_x, q.b_h, shape, g);
    if (me.rank == 0) pack_rows(units, q.per_unit, Cell::weights, q.H, shape.padded);
    for (int k = 0; k < S; ++k)
      if (d.d_restored[k]) me.clear(d.d_restored[k], q.rows.B * q.H);
  }

  // A member's results for its latest set: da [each, da_size], blocks of rows; the gradients of the cell's other per-unit weights
  // [each, dp_size]; the values between the stages [each, row_size].
  const int64_t da_size = R * shape.padded, dp_size = own_weights * shape.padded, row_size = (Cell::saved + 2 + Cell::held) * shape.padded;
  T* da(Member me) const { return scratch + me.rank * each * (da_size + dp_size + row_size); }
  T* dp(Member me) const { return da(me) + each * da_size; }

  // The rows of a set, the address of the first of each.
  struct SetRows {
    const T* dh;
    T* wx;  // W x, which becomes LN(W x); null if that was saved
    T* to;  // d(W x), then d(R h), each row by row of the cell
    int64_t ld_dh, ld_x, ld_to;
  };

  // n rows from b on, a set. Each stage runs on all rows of the set before the next stage: while one row waits for its sums over
  // units, the others go on.
  void run(Member me, int64_t s, int64_t b, int64_t n, const SetRows& place) {
    StepRow step_rows[RowSets::most];
    for (int64_t j = 0; j < n; ++j) {
      StepRow& step_row = step_rows[j] = find_step_row(me, s, b, j, place);
      V sum{}, sum_hat{};
      for (int64_t block = 0; block < shape.blocks; ++block) gates_again(step_row, block, sum, sum_hat);
      step_row.of_normal = means(sum, sum_hat, q.H);
    }
    for (int64_t j = 0; j < n; ++j) {
      StepRow& step_row = step_rows[j];
      V sums_of[4] = {};  // of gain da and of gain da LN: of x, of h
      for (int64_t block = 0; block < shape.blocks; ++block) before(step_row, block, sums_of);
      step_row.mean_x = means(sums_of[0], sums_of[1], X * q.H);
      step_row.mean_h = means(sums_of[2], sums_of[3], H * q.H);
    }
    for (int64_t j = 0; j < n; ++j) {
      T* to = place.to + j * place.ld_to;
      through_norm<X>(to, step_rows[j], x_hat(step_rows[j]), true, step_rows[j].of_x.scale, step_rows[j].mean_x);
      through_norm<H>(to + X * shape.padded, step_rows[j], step_rows[j].saved, false, saved.of_h(step_rows[j].saved).scale,
                      step_rows[j].mean_h);
    }
  }

  const T* bias() const { return biases; }  // [rows, padded], block by block
  const T* per_unit() const { return units; }  // [weights, padded]

  // [padded]  the gradient of state k of row b before the step
  T* reached(int k, int64_t b) const { return ds[k] + b * shape.padded; }

 private:
  T *biases, *units;  // units: [weights, padded]
  T* ds[max_states];  // [B, padded]
  T* scratch;
  int64_t each;

  // Means over all units, for LN's derivative.
  struct Means {
    T d = 0, d_hat = 0;
  };
  struct StepRow {  // of a step and a row
    int64_t at, row, b;
    Origin origin;
    bool ends;
    const T* saved;
    const T *old[S], *now[S], *dh;
    T *x, *da, *dp, *stages;  // LN(W x), [blocks][X][L], unless it was saved; the output of the stages
    Moments<T> of_x, between;
    Means of_normal, mean_x, mean_h;
  };

  StepRow find_step_row(Member me, int64_t s, int64_t b0, int64_t j, const SetRows& place) const {
    const int64_t b = b0 + j;
    StepRow step_row{};
    step_row.at = steps.at(s, b);
    step_row.row = steps.row(b);
    step_row.b = b;
    step_row.origin = steps.origin(s, b);
    step_row.ends = steps.ends(s, b);
    step_row.saved = q.saved + steps.saved_at(s, b) * saved.size();
    step_row.dh = place.dh + j * place.ld_dh;
    step_row.x = place.wx ? place.wx + j * place.ld_x : nullptr;
    step_row.da = da(me) + j * da_size;
    step_row.dp = dp(me) + j * dp_size;
    step_row.stages = dp(me) + each * dp_size + j * row_size;
    step_row.of_x = saved.of_x(step_row.saved);
    step_row.between = saved.between(step_row.saved);
    for (int k = 0; k < S; ++k) {
      step_row.old[k] = states.before(k, step_row.origin, s, b);
      step_row.now[k] = Cell::reads_new[k] ? states.after(k, s, b) : nullptr;
    }
    return step_row;
  }

  const T* x_hat(const StepRow& step_row) const { return step_row.x ? step_row.x : step_row.saved + saved.h_size; }

  static Means means(V d, V d_hat, int64_t count) { return {sum_of<V>(d) * (T(1) / T(count)), sum_of<V>(d_hat) * (T(1) / T(count))}; }

  struct Look {  // inputs of a block of units
    V old[S], now[S], weights[Cell::weights], save[Cell::saved + 1], d_now[S], d_save[Cell::saved + 1];
  };

  CARROUSEL_INLINE void look(const StepRow& step_row, int64_t unit, int n, Look& l) const {
    for (int k = 0; k < S; ++k) {
      l.old[k] = load_n<V>(step_row.old[k] + unit, n);
      if (Cell::reads_new[k]) l.now[k] = load_n<V>(step_row.now[k] + unit, n);
    }
    for (int w = 0; w < Cell::weights; ++w) l.weights[w] = load<V>(units + w * shape.padded + unit);
    l.d_now[0] = load<V>(step_row.dh + unit);
    for (int k = 1; k < S; ++k) {
      l.d_now[k] = !step_row.ends ? load<V>(ds[k] + step_row.b * shape.padded + unit)
                   : d.d_final[k] ? load_n<V>(d.d_final[k] + step_row.row * q.H + unit, n)
                                  : V{};
      if (d.d_history[k]) l.d_now[k] += load_n<V>(d.d_history[k] + step_row.at * q.H + unit, n);
    }
    for (int k = 0; k < Cell::saved; ++k) l.d_save[k] = V{};
    for (int k = 0; d.d_gates && k < Cell::saved; ++k)
      if (d.d_gates[k]) l.d_save[k] = load_n<V>(d.d_gates[k] + step_row.at * q.H + unit, n);
  }

  T* normal_at(const StepRow& step_row, int64_t unit) const { return step_row.stages + Cell::saved * shape.padded + unit; }

  // Recomputes forward's first stage, and goes backward through the second, which gives the gradient of the value normalised
  // between them.
  CARROUSEL_INLINE void gates_again(const StepRow& step_row, int64_t block, V& sum, V& sum_hat) {
    const int64_t unit = block * L;
    const int n = shape.lanes_of(block);
    const Gains<Cell, V> gains{units, shape.padded};
    V rows[R], now[S], raw{};
    for (int r = 0; r < R; ++r) rows[r] = load<V>(biases + (block * R + r) * L);
    for (int r = 0; r < X; ++r) {
      const int64_t at = (block * X + r) * L;
      if (step_row.x) store<V>(step_row.x + at, normalised<V>(load<V>(step_row.x + at), step_row.of_x, n));
      rows[Cell::x_first + r] += gains.x(r, unit) * load<V>(x_hat(step_row) + at);
    }
    for (int r = 0; r < H; ++r) rows[Cell::h_first + r] += gains.h(r, unit) * load<V>(step_row.saved + (block * H + r) * L);
    Look l;
    look(step_row, unit, n, l);
    Cell::before(rows, l.old, l.weights, now, l.save, &raw);
    for (int k = 0; k < Cell::saved; ++k) store<V>(step_row.stages + k * shape.padded + unit, l.save[k]);
    if constexpr (Cell::normalises) {
      const V normal = normalised<V>(raw, step_row.between, n);
      V d_normal, held[Cell::held + 1];
      Cell::backward_after(l.save, l.old, l.now, l.weights, &normal, l.d_now, l.d_save, &d_normal, held);
      d_normal = existing<V>(d_normal, n);
      store<V>(normal_at(step_row, unit), normal);
      store<V>(normal_at(step_row, unit) + shape.padded, d_normal);
      for (int k = 0; k < Cell::held; ++k) store<V>(normal_at(step_row, unit) + (2 + k) * shape.padded, held[k]);
      sum += d_normal;
      sum_hat += d_normal * normal;
    }
  }

  // Backward through the first stage.
  CARROUSEL_INLINE void before(const StepRow& step_row, int64_t block, V (&sums_of)[4]) {
    const int64_t unit = block * L;
    const int n = shape.lanes_of(block);
    const Gains<Cell, V> gains{units, shape.padded};
    Look l;
    look(step_row, unit, n, l);
    for (int k = 0; k < Cell::saved; ++k) l.save[k] = load<V>(step_row.stages + k * shape.padded + unit);
    V normal{}, d_raw{}, held[Cell::held + 1], d_rows[R], d_old[S], d_weights[Cell::weights];
    if constexpr (Cell::normalises) {
      normal = load<V>(normal_at(step_row, unit));
      for (int k = 0; k < Cell::held; ++k) held[k] = load<V>(normal_at(step_row, unit) + (2 + k) * shape.padded);
      d_raw = derivative(load<V>(normal_at(step_row, unit) + shape.padded), normal, step_row.between.scale, step_row.of_normal, n);
    }
    Cell::backward_before(l.save, l.old, l.now, l.weights, &normal, l.d_now, l.d_save, &d_raw, held, d_rows, d_old, d_weights);
    for (int r = 0; r < R; ++r) store<V>(step_row.da + (block * R + r) * L, d_rows[r] = existing<V>(d_rows[r], n));
    if (step_row.origin == Origin::restored) add_restored(step_row.row, unit, n, d_old);
    for (int k = 0; k < S; ++k) store<V>(ds[k] + step_row.b * shape.padded + unit, d_old[k]);
    for (int w = 0; w < own_weights; ++w) store<V>(step_row.dp + w * shape.padded + unit, d_weights[Gains<Cell, V>::count + w]);
    for (int r = 0; r < X; ++r) {
      const V d_hat = gains.x(r, unit) * d_rows[Cell::x_first + r];
      sums_of[0] += d_hat;
      sums_of[1] += d_hat * load<V>(x_hat(step_row) + (block * X + r) * L);
    }
    for (int r = 0; r < H; ++r) {
      const V d_hat = gains.h(r, unit) * d_rows[Cell::h_first + r];
      sums_of[2] += d_hat;
      sums_of[3] += d_hat * load<V>(step_row.saved + (block * H + r) * L);
    }
  }

  static CARROUSEL_INLINE V derivative(V d_hat, V hat, T scale, const Means& m, int n) {
    return existing<V>(set1<V>(scale) * (d_hat - set1<V>(m.d) - hat * set1<V>(m.d_hat)), n);
  }

  // From da to d(W x), or d(R h), row by row as the weight gradients read them.
  template <int Rows>
  CARROUSEL_INLINE void through_norm(T* to, const StepRow& step_row, const T* hat, bool of_x, T scale, const Means& m) const {
    const Gains<Cell, V> gains{units, shape.padded};
    for (int64_t block = 0; block < shape.blocks; ++block) {
      const int64_t unit = block * L;
      const int n = shape.lanes_of(block);
      for (int r = 0; r < Rows; ++r) {
        const V gain = of_x ? gains.x(r, unit) : gains.h(r, unit);
        const V d_hat = gain * load<V>(step_row.da + (block * R + (of_x ? Cell::x_first : Cell::h_first) + r) * L);
        store<V>(to + r * shape.padded + unit, derivative(d_hat, load<V>(hat + (block * Rows + r) * L), scale, m, n));
      }
    }
  }

  // Restored states: their gradients are added there, and none reaches the step before.
  void add_restored(int64_t row, int64_t unit, int n, V* d_old) const {
    for (int k = 0; k < S; ++k) {
      T* sum = d.d_restored[k] + row * q.H + unit;
      if (d.d_restored[k]) store_n<V>(sum, load_n<V>(sum, n) + d_old[k], n);
      d_old[k] = V{};
    }
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
