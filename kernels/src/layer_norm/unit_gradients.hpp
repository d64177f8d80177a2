// The gradients of biases, gains and per-unit weights of a normalised cell: sums over all steps and rows, row set by row set.
#pragma once
#include "layer_norm/backward_stages.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class UnitGradients {
  using T = element<V>;
  static constexpr int L = lanes<V>, R = Cell::rows, X = Cell::x_rows, H = Cell::h_rows;
  static constexpr int own_weights = BackwardStages<Cell, V>::own_weights, summed = R + Cell::weights;

 public:
  UnitGradients(const Sequence<T>& q, const Gradients<T>& d, const RowBlocks<Cell, V>& shape, const Steps& steps,
                const Saved<Cell, V>& saved, const RowSets& sets, const BackwardStages<Cell, V>& stages)
      : q(q), d(d), shape(shape), steps(steps), saved(saved), sets(sets), stages(stages) {}

  void lay_out(Arena& arena) {
    for (T*& of_chunk : of_sets) of_chunk = arena.take<T>(sets.count() * summed * shape.padded);
    totals = arena.take<T>(summed * shape.padded);
  }

  void prepare(Member me) const {
    for (T* of_chunk : of_sets) me.clear(of_chunk, sets.count() * summed * shape.padded);
    me.clear(totals, summed * shape.padded);
  }

  // Adds the gradients of the n rows of a set, from b on, at step s, block by block with all sums in registers.
  void add(Member me, int64_t chunk, int64_t set, int64_t s, int64_t b, int64_t n,
           const typename BackwardStages<Cell, V>::SetRows& place) const {
    if (!wanted()) return;
    const T *x_hat[RowSets::most], *h_hat[RowSets::most], *all_da = stages.da(me), *all_dp = stages.dp(me);
    for (int64_t j = 0; j < n; ++j) {
      h_hat[j] = q.saved + steps.saved_at(s, b + j) * saved.size();
      x_hat[j] = saved.has_x() ? h_hat[j] + saved.h_size : place.wx + j * place.ld_x;
    }
    T* to = of_sets[chunk % 2] + set * summed * shape.padded;
    for (int64_t block = 0; block < shape.blocks; ++block) {
      V sum[summed] = {};
      for (int64_t j = 0; j < n; ++j) {
        V da[R];
        for (int r = 0; r < R; ++r) sum[r] += da[r] = load<V>(all_da + j * stages.da_size + (block * R + r) * L);
        for (int r = 0; r < X; ++r) sum[R + r] += da[Cell::x_first + r] * load<V>(x_hat[j] + (block * X + r) * L);
        for (int r = 0; r < H; ++r) sum[R + X + r] += da[Cell::h_first + r] * load<V>(h_hat[j] + (block * H + r) * L);
        for (int w = 0; w < own_weights; ++w) sum[R + X + H + w] += load<V>(all_dp + j * stages.dp_size + w * shape.padded + block * L);
      }
      T* at = to + block * summed * L;
      for (int k = 0; k < summed; ++k) store<V>(at + k * L, load<V>(at + k * L) + sum[k]);
    }
  }

  // [summed, L]  a chunk's sums of the only set, which has one block of units
  T* of_one(int64_t chunk) const { return of_sets[chunk % 2]; }

  // Adds the sets' sums of a chunk to the totals. Short sums of short sums lose little to rounding.
  void add_sets(Member me, int64_t chunk) const {
    if (!wanted()) return;
    const int64_t vectors = summed * shape.blocks;
    for (int64_t v = me.first(vectors); v < me.last(vectors); ++v) {
      V sum{};
      for (int64_t set = 0; set < sets.count(); ++set) {
        T* at = of_sets[chunk % 2] + set * summed * shape.padded + v * L;
        sum += load<V>(at);
        store<V>(at, V{});
      }
      store<V>(totals + v * L, load<V>(totals + v * L) + sum);
    }
  }

  // Writes the totals to the caller's arrays.
  void write() const {
    const auto write = [&](T* to, int k) {
      for (int64_t u = 0; u < q.H; ++u) to[u] = totals[(u / L * summed + k) * L + u % L];
    };
    for (int r = 0; r < X; ++r) {
      if (d.db_x) write(d.db_x + Cell::x_order[r] * q.H, Cell::x_first + r);
      if (d.d_per_unit) write(d.d_per_unit + Cell::x_order[r] * q.H, R + r);
    }
    for (int r = 0; r < H; ++r) {
      if (d.db_h) write(d.db_h + Cell::h_order[r] * q.H, Cell::h_first + r);
      if (d.d_per_unit) write(d.d_per_unit + (X + Cell::h_order[r]) * q.H, R + X + r);
    }
    for (int w = 0; w < own_weights && d.d_per_unit; ++w) write(d.d_per_unit + (X + H + w) * q.H, R + X + H + w);
  }

 private:
  const Sequence<T>& q;
  const Gradients<T>& d;
  const RowBlocks<Cell, V>& shape;
  const Steps& steps;
  const Saved<Cell, V>& saved;
  const RowSets& sets;
  const BackwardStages<Cell, V>& stages;
  T* of_sets[2];  // [sets, blocks, summed, L]  of the latest chunk and of the one before, which is being added to the totals
  T* totals;      // [blocks, summed, L]

  bool wanted() const { return d.db_x || d.db_h || d.d_per_unit; }
};

}  // namespace carrousel::CARROUSEL_TARGET
