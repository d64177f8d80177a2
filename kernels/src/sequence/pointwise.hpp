// The pointwise step, forward, of one row on one block of units. Forward, OneRow and Recompute fill in what it reads, run it, and write
// what each of them needs of its results.
#pragma once
#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
struct Pointwise {
  using T = element<V>;

  V rows[Cell::rows], old[Cell::states] = {}, weights[Cell::weights + 1], mask[Cell::masks + 1];  // read
  V now[Cell::states], save[Cell::saved + 1], show[Cell::shown + 1];                              // written

  // a: the block's numbers of the first row; `between`: from one row's to the next row's.
  CARROUSEL_INLINE void load_rows(const T* a, int64_t between) {
    for (int r = 0; r < Cell::rows; ++r) rows[r] = load<V>(a + r * between);
  }
  CARROUSEL_INLINE void load_weights([[maybe_unused]] const T* per_unit, [[maybe_unused]] int64_t between) {
    for (int w = 0; w < Cell::weights; ++w) weights[w] = load<V>(per_unit + w * between);
  }
  CARROUSEL_INLINE void run() { Cell::forward(rows, old, weights, mask, now, save, show); }
};

}  // namespace carrousel::CARROUSEL_TARGET
