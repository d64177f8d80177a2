// A batch of one row, step after step, on one thread: the sums and steps of Forward in the same order, hence the same bits, without
// any lookup in between. A step of a small network takes a tenth of a microsecond; lookups were a third of that.
//
// A layer with few units has all its sums in registers at once, so that each number of h is read once. A larger one runs group by
// group, from first to last and back again: of weights that exceed the cache, those read last are still there (saves a fifth of the
// time at H = 256, a quarter with 64 inputs).
#pragma once
#include "gemm/gemm.hpp"
#include "gemm/panels.hpp"
#include "machine/random.hpp"
#include "sequence/fed_back.hpp"
#include "sequence/pointwise.hpp"
#include "sequence/work_split.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class OneRow {
  using T = element<V>;
  static constexpr int L = lanes<V>, R = Cell::rows, B = RowBlocks<Cell, V>::blocks_in_group;
  static constexpr int at_once = B == 1 ? max_panels : 1;  // groups

 public:
  // Whether a group's sums fit into one tile, and h feeds any row.
  static constexpr bool fits = Cell::h_rows > 0 && std::max(Cell::x_rows, Cell::h_rows) <= max_vectors / B;

  static bool applies_to(const Sequence<T>& q) {
    return q.rows.B == 1 && !q.rows.batch_sizes && !q.rows.ragged() && !q.rows.resets && !q.gates && !q.projection && !q.bfloat16 &&
           q.storage == Storage::numbers && q.I <= wide_input;
  }

  OneRow(const Sequence<T>& q, const Panels<Cell, V>& panels, const RowBlocks<Cell, V>& shape, const CellMasks<Cell, V>& masks,
         const FedBack<Cell, V>& fed_back, const T* zeros, T* fed)
      : q(q), panels(panels), shape(shape), masks(masks), fed_back(fed_back), fed(fed) {
    for (int k = 0; k < Cell::states; ++k) old[k] = q.initial[k] ? q.initial[k] : zeros;
  }

  void run() {
    if (!q.rows.T) return;
    const int64_t bytes = (q.I * Cell::x_rows + fed_back.columns() * Cell::h_rows) * shape.padded * sizeof(T);
    const int64_t rounds = shape.groups <= at_once && bytes <= nearest_cache ? 1 : shape.groups, groups = shape.groups / rounds;
    alignas(64) T a[at_once * R * B * L];
    for (int64_t s = 0; s < q.rows.T; ++s) {
      const int64_t at = (q.rows.reverse ? q.rows.T - 1 - s : s) * q.rows.step_stride;
      T* h = q.y + at * q.ld_y;
      by_R = fed_back.made() ? fed_back.row(fed, 0, [this](int k) { return old[k]; }) : old[0];
      for (int64_t round = 0; round < rounds; ++round) {
        const int64_t first = q.from_last == (s % 2 == 0) ? rounds - 1 - round : round;
        sum(a, first, groups, q.x + at * q.I);
        for (int64_t g = 0; g < groups; ++g) cell(first + g, a + g * R * L, h, at, q.rows.reverse ? q.rows.T - 1 - s : s);
      }
      old[0] = h;
      for (int k = 1; k < Cell::states; ++k) old[k] = q.final[k];
    }
    std::memcpy(q.final[0], old[0], q.H * sizeof(T));
  }

 private:
  const Sequence<T>& q;
  const Panels<Cell, V>& panels;
  const RowBlocks<Cell, V>& shape;
  const CellMasks<Cell, V>& masks;
  const FedBack<Cell, V>& fed_back;
  T* fed;                      // [fed_back.width()]
  const T* old[Cell::states];  // the states before the step
  const T* by_R;               // the operand of R

  static constexpr bool joint = Cell::x_first == Cell::h_first && Cell::x_rows == Cell::h_rows;

  // The weights that stay in the first-level cache from step to step, in bytes.
  static constexpr int64_t nearest_cache = 48000;

  int blocks_of(int64_t g) const { return B == 1 ? 1 : shape.blocks_of(g); }

  // a [groups][rows * blocks * L] = b + W x + R h
  CARROUSEL_INLINE void sum(T* a, int64_t g, int64_t groups, const T* x) const {
    const int blocks = blocks_of(g), x_vectors = Cell::x_rows * blocks, h_vectors = Cell::h_rows * blocks;
    const int64_t each = int64_t(R) * blocks * L;
    const T* bias = panels.bias(g);
    const Factor<T> from_x{&x, panels.x(g), int64_t(x_vectors) * L, q.I, x_vectors * L * q.I};
    T* fed = a + Cell::h_first * blocks * L;
    if (!joint) {
      std::memcpy(a, bias, groups * each * sizeof(T));
      for (int64_t i = 0; i < groups; ++i) {
        T* by_x = a + i * each + Cell::x_first * blocks * L;
        tiles<V>[0][x_vectors - 1](by_x, 0, by_x, 0, {}, {&x, from_x.panel + i * from_x.between, from_x.ld_panel, q.I});
      }
    }
    for (int64_t k = 0, columns = fed_back.columns(); k < columns; k += k_block) {
      const T* h = by_R + k;
      const Factor<T> from_h{&h, panels.h(g) + k * h_vectors * L, int64_t(h_vectors) * L, std::min(k_block, columns - k),
                             h_vectors * L * columns};
      const Tile<V> tile = at_once == 1 || groups == 1 ? one_row_tiles<V>[h_vectors - 1] : one_row_panel_tile<V, Cell::h_rows>(groups);
      tile(fed, each, joint && k == 0 ? bias : fed, each, joint && k == 0 ? from_x : Factor<T>{}, from_h);
    }
  }

  // The pointwise step on a group.
  CARROUSEL_INLINE void cell(int64_t g, const T* a, T* h, int64_t at, [[maybe_unused]] int64_t t) const {
    const int blocks = blocks_of(g);
    for (int u = 0; u < blocks; ++u) {
      const int64_t block = shape.first_block(g) + u, unit = block * L;
      const int n = shape.lanes_of(block);
      Pointwise<Cell, V> step;
      step.load_rows(a + u * L, blocks * L);
      for (int k = 0; k < Cell::states; ++k) step.old[k] = load_n<V>(old[k] + unit, n);
      step.load_weights(panels.per_unit(0) + unit, shape.padded);
      if constexpr (Cell::masks > 0) masks.sample(step.mask, t, q.masks.rows ? q.masks.rows[0] : 0, unit);
      step.run();
      store_n<V>(h + unit, step.now[0], n);
      for (int k = 1; k < Cell::states; ++k) {
        store_n<V>(q.final[k] + unit, step.now[k], n);
        if (q.history[k]) store_n<V>(q.history[k] + at * q.H + unit, step.now[k], n);
      }
      T* saved = q.saved ? q.saved + at * shape.saved_size() + shape.saved_at(block) : nullptr;
      for (int k = 0; saved && k < Cell::saved; ++k) store<V>(saved + k * int64_t(blocks) * L, step.save[k]);
    }
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
