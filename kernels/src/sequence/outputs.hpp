// What a forward pass writes: large pages for its memory, and its values where there is no step.
#pragma once
#include "machine/threads.hpp"
#include "machine/workspace.hpp"
#include "sequence/states.hpp"

namespace carrousel::CARROUSEL_TARGET {

// saved_size: elements of `saved` for each pair.
template <class Cell, class T>
void prefer_large_pages_of_outputs(const Sequence<T>& q, int64_t saved_size) {
  const size_t pairs = count_step_rows(q.rows), places = q.rows.lengths ? q.rows.T * q.rows.B : pairs, unit = sizeof(T);
  prefer_large_pages(q.saved, pairs * saved_size * unit);
  prefer_large_pages(q.y, places * q.ld_y * unit);
  for (T* history : q.history) prefer_large_pages(history, (q.histories_shown ? places : pairs) * q.H * unit);
  for (int k = 0; k < Cell::shown && q.gates; ++k) prefer_large_pages(q.gates[k], places * q.H * unit);
}

// Fills the rows of array [N, width], row stride ld, that belong to no step of a batch in dense memory. All members call this.
template <class T>
void put_padding(Member me, const Rows& rows, T* array, int64_t width, int64_t ld, T value) {
  if (!rows.lengths || !array) return;
  const bool by_step = rows.step_stride > rows.row_stride;  // whether memory runs step by step, or row by row
  const int64_t outer = by_step ? rows.T : rows.B, inner = by_step ? rows.B : rows.T;
  for (int64_t i = me.first(outer); i < me.last(outer); ++i)
    for (int64_t j = by_step ? 0 : rows.lengths[i]; j < inner; ++j)
      if (!by_step || i >= rows.lengths[j]) {
        T* row = array + (i * inner + j) * ld;
        std::fill(row, row + width, value);
      }
}

// Writes padding; rows without steps end as they started. All members call this.
template <class Cell, class T>
void write_without_steps(Member me, const Sequence<T>& q, const Steps& steps, const States<T>& states) {
  put_padding(me, q.rows, q.y, q.P, q.ld_y, q.padding);
  for (T* history : q.history)
    if (q.histories_shown) put_padding(me, q.rows, history, q.H, q.H, q.padding);
  for (int k = 0; k < Cell::shown && q.gates; ++k) put_padding(me, q.rows, q.gates[k], q.H, q.H, q.padding);
  for (int64_t b = steps.rows_with_steps() + me.rank; b < q.rows.B; b += me.members)
    for (int k = 0; k < Cell::states; ++k)
      std::memcpy(q.final[k] + steps.row(b) * states.width(k), states.start(k, Origin::initial, b), states.width(k) * sizeof(T));
}

}  // namespace carrousel::CARROUSEL_TARGET
