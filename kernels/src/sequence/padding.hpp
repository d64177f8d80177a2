// What is written where a ragged batch has no step: everything else passes those places by.
#pragma once
#include "carrousel/sequence.hpp"
#include "machine/threads.hpp"

namespace carrousel::CARROUSEL_TARGET {

// The rows of array [N, width], row stride ld, that belong to no step of a batch in dense memory. All members call this.
template <class T>
void put_padding(Member me, const Rows& rows, T* array, int64_t width, int64_t ld, T value) {
  if (!rows.lengths || !array) return;
  const bool by_step = rows.step_stride > rows.row_stride;  // which way memory runs
  const int64_t outer = by_step ? rows.T : rows.B, inner = by_step ? rows.B : rows.T;
  for (int64_t i = me.first(outer); i < me.last(outer); ++i)
    for (int64_t j = by_step ? 0 : rows.lengths[i]; j < inner; ++j)
      if (!by_step || i >= rows.lengths[j]) {
        T* row = array + (i * inner + j) * ld;
        std::fill(row, row + width, value);
      }
}

}  // namespace carrousel::CARROUSEL_TARGET
