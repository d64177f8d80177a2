// Backward of a cell that is normalised, from dh to d(W x) and d(R h) of a row at a step: the pointwise stages, and what lies between them.
#pragma once
#include "gemm/pack.hpp"
#include "layer_norm/saved.hpp"
#include "layer_norm/row_sets.hpp"
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
  const Shape<Cell, V>& shape;
  const Steps& steps;
  const States<T>& states;
  const Kept<Cell, V>& kept;

 public:
  static constexpr int own_weights = Cell::weights - Gains<Cell, V>::count;  // those that are no gains of rows

  BackwardStages(const Sequence<T>& q, const Gradients<T>& d, const Shape<Cell, V>& shape, const Steps& steps, const States<T>& states,
                 const Kept<Cell, V>& kept)
      : q(q), d(d), shape(shape), steps(steps), states(states), kept(kept) {}

  void lay_out(Layout& layout, const Sets& sets, int threads) {
    biases = layout.take<T>(R * shape.padded);
    units = layout.take<T>(Cell::weights * shape.padded);
    for (int k = 0; k < S; ++k) ds[k] = layout.take<T>(q.rows.B * shape.padded);
    each = sets.each();
    scratch = layout.take<T>(threads * each * (da_size + dp_size + row_size));
  }

  void prepare(Member me) {
    for (long g = me.first(shape.groups); g < me.last(shape.groups); ++g) pack_bias<Cell, V>(biases + g * L * R, q.b_x, q.b_h, shape, g);
    if (me.rank == 0) pack_rows(units, q.per_unit, Cell::weights, q.H, shape.padded);
    for (int k = 0; k < S; ++k)
      if (d.d_restored[k]) me.clear(d.d_restored[k], q.rows.B * q.H);
  }

  // A member's own, which hold what was computed of its latest set: da [each, da_size], blocks of rows; the gradients of the cell's own
  // weights [each, dp_size]; what lies between the stages [each, row_size].
  const long da_size = R * shape.padded, dp_size = own_weights * shape.padded, row_size = (Cell::kept + 2 + Cell::held) * shape.padded;
  T* da(Member me) const { return scratch + me.rank * each * (da_size + dp_size + row_size); }
  T* dp(Member me) const { return da(me) + each * da_size; }

  // Where the rows of a set are, the first of each.
  struct Place {
    const T* dh;
    T* wx;  // W x, which becomes LN(W x); null where that was kept
    T* to;  // d(W x), then d(R h), each row by row of the cell
    long ld_dh, ld_x, ld_to;
  };

  // n rows from b on, a set's. Of each stage all rows have their turn before the next stage: the sums over units that one row waits for
  // do not hold up the others.
  void run(Member me, long s, long b, long n, const Place& place) {
    Pair pairs[Sets::most];
    for (long j = 0; j < n; ++j) {
      Pair& pair = pairs[j] = pair_of(me, s, b, j, place);
      V sum{}, sum_hat{};
      for (long block = 0; block < shape.blocks; ++block) gates_again(pair, block, sum, sum_hat);
      pair.of_normal = means(sum, sum_hat, q.H);
    }
    for (long j = 0; j < n; ++j) {
      Pair& pair = pairs[j];
      V sums_of[4] = {};  // of gain da and of gain da LN: of x, of h
      for (long block = 0; block < shape.blocks; ++block) before(pair, block, sums_of);
      pair.mean_x = means(sums_of[0], sums_of[1], X * q.H), pair.mean_h = means(sums_of[2], sums_of[3], H * q.H);
    }
    for (long j = 0; j < n; ++j) {
      T* to = place.to + j * place.ld_to;
      through_norm<X>(to, pairs[j], x_hat(pairs[j]), true, pairs[j].of_x.scale, pairs[j].mean_x);
      through_norm<H>(to + X * shape.padded, pairs[j], pairs[j].kept, false, kept.of_h(pairs[j].kept).scale, pairs[j].mean_h);
    }
  }

  const T* bias() const { return biases; }  // [rows, padded], block by block
  const T* per_unit() const { return units; }  // [weights, padded]

  // [padded]  what reached state k of row b before the step
  T* reached(int k, long b) const { return ds[k] + b * shape.padded; }

 private:
  T *biases, *units;  // units: [weights, padded]
  T* ds[max_states];  // [B, padded]
  T* scratch;
  long each;

  // Means over all units that LN's derivative needs.
  struct Means {
    T d = 0, d_hat = 0;
  };
  struct Pair {  // of a step and a row
    long at, row, b;
    Origin origin;
    bool ends;
    const T* kept;
    const T *old[S], *now[S], *dh;
    T *x, *da, *dp, *stages;  // LN(W x), [blocks][X][L], unless it was kept; what the stages write
    Moments<T> of_x, between;
    Means of_normal, mean_x, mean_h;
  };

  Pair pair_of(Member me, long s, long b0, long j, const Place& place) const {
    const long b = b0 + j;
    Pair pair{};
    pair.at = steps.at(s, b), pair.row = steps.row(b), pair.b = b;
    pair.origin = steps.origin(s, b), pair.ends = steps.ends(s, b);
    pair.kept = q.kept + steps.kept_at(s, b) * kept.size();
    pair.dh = place.dh + j * place.ld_dh;
    pair.x = place.wx ? place.wx + j * place.ld_x : nullptr;
    pair.da = da(me) + j * da_size, pair.dp = dp(me) + j * dp_size, pair.stages = dp(me) + each * dp_size + j * row_size;
    pair.of_x = kept.of_x(pair.kept), pair.between = kept.between(pair.kept);
    for (int k = 0; k < S; ++k) {
      pair.old[k] = states.before(k, pair.origin, s, b);
      pair.now[k] = Cell::reads_new[k] ? states.after(k, s, b) : nullptr;
    }
    return pair;
  }

  const T* x_hat(const Pair& pair) const { return pair.x ? pair.x : pair.kept + kept.h_size; }

  static Means means(V d, V d_hat, long count) { return {sum_of<V>(d) * (T(1) / T(count)), sum_of<V>(d_hat) * (T(1) / T(count))}; }

  struct Look {  // what lies ready for a block of units
    V old[S], now[S], weights[Cell::weights], keep[Cell::kept + 1], d_now[S], d_keep[Cell::kept + 1];
  };

  CARROUSEL_INLINE void look(const Pair& pair, long unit, int n, Look& l) const {
    for (int k = 0; k < S; ++k) {
      l.old[k] = load_some<V>(pair.old[k] + unit, n);
      if (Cell::reads_new[k]) l.now[k] = load_some<V>(pair.now[k] + unit, n);
    }
    for (int w = 0; w < Cell::weights; ++w) l.weights[w] = load<V>(units + w * shape.padded + unit);
    l.d_now[0] = load<V>(pair.dh + unit);
    for (int k = 1; k < S; ++k) {
      l.d_now[k] = !pair.ends     ? load<V>(ds[k] + pair.b * shape.padded + unit)
                   : d.d_final[k] ? load_some<V>(d.d_final[k] + pair.row * q.H + unit, n)
                                  : V{};
      if (d.d_history[k]) l.d_now[k] += load_some<V>(d.d_history[k] + pair.at * q.H + unit, n);
    }
    for (int k = 0; k < Cell::kept; ++k) l.d_keep[k] = V{};
    for (int k = 0; d.d_gates && k < Cell::kept; ++k)
      if (d.d_gates[k]) l.d_keep[k] = load_some<V>(d.d_gates[k] + pair.at * q.H + unit, n);
  }

  T* normal_at(const Pair& pair, long unit) const { return pair.stages + Cell::kept * shape.padded + unit; }

  // Forward's first stage once more, and backward through the second, which gives the gradient of what is normalised between them.
  CARROUSEL_INLINE void gates_again(const Pair& pair, long block, V& sum, V& sum_hat) {
    const long unit = block * L;
    const int n = shape.lanes_of(block);
    const Gains<Cell, V> gains{units, shape.padded};
    V rows[R], now[S], raw{};
    for (int r = 0; r < R; ++r) rows[r] = load<V>(biases + (block * R + r) * L);
    for (int r = 0; r < X; ++r) {
      const long at = (block * X + r) * L;
      if (pair.x) store<V>(pair.x + at, normalised<V>(load<V>(pair.x + at), pair.of_x, n));
      rows[Cell::x_first + r] += gains.x(r, unit) * load<V>(x_hat(pair) + at);
    }
    for (int r = 0; r < H; ++r) rows[Cell::h_first + r] += gains.h(r, unit) * load<V>(pair.kept + (block * H + r) * L);
    Look l;
    look(pair, unit, n, l);
    Cell::before(rows, l.old, l.weights, now, l.keep, &raw);
    for (int k = 0; k < Cell::kept; ++k) store<V>(pair.stages + k * shape.padded + unit, l.keep[k]);
    if constexpr (Cell::normalises) {
      const V normal = normalised<V>(raw, pair.between, n);
      V d_normal, held[Cell::held + 1];
      Cell::backward_after(l.keep, l.old, l.now, l.weights, &normal, l.d_now, l.d_keep, &d_normal, held);
      d_normal = existing<V>(d_normal, n);
      store<V>(normal_at(pair, unit), normal);
      store<V>(normal_at(pair, unit) + shape.padded, d_normal);
      for (int k = 0; k < Cell::held; ++k) store<V>(normal_at(pair, unit) + (2 + k) * shape.padded, held[k]);
      sum += d_normal;
      sum_hat += d_normal * normal;
    }
  }

  // Backward through the first stage.
  CARROUSEL_INLINE void before(const Pair& pair, long block, V (&sums_of)[4]) {
    const long unit = block * L;
    const int n = shape.lanes_of(block);
    const Gains<Cell, V> gains{units, shape.padded};
    Look l;
    look(pair, unit, n, l);
    for (int k = 0; k < Cell::kept; ++k) l.keep[k] = load<V>(pair.stages + k * shape.padded + unit);
    V normal{}, d_raw{}, held[Cell::held + 1], d_rows[R], d_old[S], d_weights[Cell::weights];
    if constexpr (Cell::normalises) {
      normal = load<V>(normal_at(pair, unit));
      for (int k = 0; k < Cell::held; ++k) held[k] = load<V>(normal_at(pair, unit) + (2 + k) * shape.padded);
      d_raw = derivative(load<V>(normal_at(pair, unit) + shape.padded), normal, pair.between.scale, pair.of_normal, n);
    }
    Cell::backward_before(l.keep, l.old, l.now, l.weights, &normal, l.d_now, l.d_keep, &d_raw, held, d_rows, d_old, d_weights);
    for (int r = 0; r < R; ++r) store<V>(pair.da + (block * R + r) * L, d_rows[r] = existing<V>(d_rows[r], n));
    if (pair.origin == Origin::restored) add_restored(pair.row, unit, n, d_old);
    for (int k = 0; k < S; ++k) store<V>(ds[k] + pair.b * shape.padded + unit, d_old[k]);
    for (int w = 0; w < own_weights; ++w) store<V>(pair.dp + w * shape.padded + unit, d_weights[Gains<Cell, V>::count + w]);
    for (int r = 0; r < X; ++r) {
      const V d_hat = gains.x(r, unit) * d_rows[Cell::x_first + r];
      sums_of[0] += d_hat;
      sums_of[1] += d_hat * load<V>(x_hat(pair) + (block * X + r) * L);
    }
    for (int r = 0; r < H; ++r) {
      const V d_hat = gains.h(r, unit) * d_rows[Cell::h_first + r];
      sums_of[2] += d_hat;
      sums_of[3] += d_hat * load<V>(pair.kept + (block * H + r) * L);
    }
  }

  static CARROUSEL_INLINE V derivative(V d_hat, V hat, T scale, const Means& m, int n) {
    return existing<V>(splat<V>(scale) * (d_hat - splat<V>(m.d) - hat * splat<V>(m.d_hat)), n);
  }

  // From da to d(W x), or d(R h), row by row as the sums want them.
  template <int Rows>
  CARROUSEL_INLINE void through_norm(T* to, const Pair& pair, const T* hat, bool of_x, T scale, const Means& m) const {
    const Gains<Cell, V> gains{units, shape.padded};
    for (long block = 0; block < shape.blocks; ++block) {
      const long unit = block * L;
      const int n = shape.lanes_of(block);
      for (int r = 0; r < Rows; ++r) {
        const V gain = of_x ? gains.x(r, unit) : gains.h(r, unit);
        const V d_hat = gain * load<V>(pair.da + (block * R + (of_x ? Cell::x_first : Cell::h_first) + r) * L);
        store<V>(to + r * shape.padded + unit, derivative(d_hat, load<V>(hat + (block * Rows + r) * L), scale, m, n));
      }
    }
  }

  // Restored states: their gradients go there, and none to the step before.
  void add_restored(long row, long unit, int n, V* d_old) const {
    for (int k = 0; k < S; ++k) {
      T* sum = d.d_restored[k] + row * q.H + unit;
      if (d.d_restored[k]) store_some<V>(sum, load_some<V>(sum, n) + d_old[k], n);
      d_old[k] = V{};
    }
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
