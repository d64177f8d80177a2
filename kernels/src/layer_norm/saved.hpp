// What forward saves for backward of a normalised cell, for each (step, row) pair:
//
//   LN(R h)  [blocks][h_rows][lanes]
//   LN(W x)  [blocks][x_rows][lanes]   wide inputs only: multiplying W x of few inputs again takes less time than memory traffic
//   the moments of W x, of R h, and of the value normalised between the stages
//
// The gates are recomputed: saved as well, they took longer to write and read.
#pragma once
#include <algorithm>
#include "gemm/row_blocks.hpp"
#include "layer_norm/moments.hpp"
#include "sequence/work_split.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
struct Saved {
  static_assert(RowBlocks<Cell, V>::blocks_in_group == 1, "the rows of a cell that is normalised must fill a group");
  using T = element<V>;
  static constexpr int64_t moments = lanes<V> < 8 ? 8 : lanes<V>;  // space for six numbers

  int64_t h_size, x_size;  // elements of each

  Saved(int64_t H, int64_t I)
      : h_size(Cell::h_rows * RowBlocks<Cell, V>(H).padded), x_size(I > wide_input ? Cell::x_rows * RowBlocks<Cell, V>(H).padded : 0) {}

  bool has_x() const { return x_size > 0; }
  int64_t size() const { return h_size + x_size + moments; }
  // Two calls: W x is ready before R h.
  void put_x(T* saved, const Moments<T>& x) const {
    T* to = saved + h_size + x_size;
    std::fill(to, to + moments, T(0));  // otherwise what torch receives would differ from call to call
    to[0] = x.mean;
    to[1] = x.scale;
  }
  void put(T* saved, const Moments<T>& h, const Moments<T>& between) const {
    T* to = saved + h_size + x_size;
    to[2] = h.mean;
    to[3] = h.scale;
    to[4] = between.mean;
    to[5] = between.scale;
  }
  Moments<T> of_x(const T* saved) const { return of(saved, 0); }
  Moments<T> of_h(const T* saved) const { return of(saved, 2); }
  Moments<T> between(const T* saved) const { return of(saved, 4); }

 private:
  Moments<T> of(const T* saved, int k) const { return {saved[h_size + x_size + k], saved[h_size + x_size + k + 1]}; }
};

// The gains of the rows' blocks, first those of W x, then those of R h; then the cell's other per-unit weights. [weights, padded]
template <class Cell, class V>
struct Gains {
  using T = element<V>;
  static constexpr int count = Cell::x_rows + Cell::h_rows;
  const T* units;
  int64_t padded;

  CARROUSEL_INLINE V x(int row, int64_t unit) const { return load<V>(units + Cell::x_order[row] * padded + unit); }
  CARROUSEL_INLINE V h(int row, int64_t unit) const { return load<V>(units + (Cell::x_rows + Cell::h_order[row]) * padded + unit); }
};

}  // namespace carrousel::CARROUSEL_TARGET
