// The operand of R: h, and beside it the further states that a cell feeds back (Cell::fed). It is h in place unless there are further
// states, or h is masked (variational dropout: one value for each row and unit, the same at every step of a sequence).
//
// In those cases it is made where it is read: a row is copied once for all its products with R; y and the states stay as they are. The
// mask is sampled once per call. (As a state of the cell, the masked h would have to be saved beside h.)
#pragma once
#include "gemm/row_blocks.hpp"
#include "machine/random.hpp"
#include "machine/threads.hpp"
#include "machine/workspace.hpp"
#include "sequence/time.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class FedBack {
  using T = element<V>;
  static constexpr int L = lanes<V>;

 public:
  FedBack(const Sequence<T>& q, const Steps& steps) : q(q), steps(steps) {}

  bool masked() const { return q.masks.fed_back.threshold || q.masks.fed_back.otherwise != 1; }
  bool made() const { return Cell::fed > 1 || masked(); }
  int64_t columns() const { return columns_of_R<Cell>(q); }
  // The column where the j-th state that is fed back begins; the first is h.
  int64_t column_of(int j) const { return j ? q.P + (j - 1) * q.H : 0; }
  // Elements of a row, in whole vectors; and the number of rows.
  int64_t width() const { return whole(columns()); }
  int64_t rows() const { return made() ? q.rows.B : 0; }

  void lay_out(Arena& arena) { mask = arena.take<T>(masked() ? q.rows.B * whole(q.P) : 0); }

  // Samples this member's part of the mask.
  void prepare(Member me) const {
    if (!masked()) return;
    const Mask& how = q.masks.fed_back;
    const uint64_t key = key_of_stream(q.masks.seed, q.masks.first_stream + fed_back_stream);
    for (int64_t b = me.first(q.rows.B); b < me.last(q.rows.B); ++b) {
      const uint64_t row_key = key_of_row(key, 0, steps.number(q.masks, b));
      for (int64_t u = 0; u < whole(q.P); u += L)
        store<V>(mask + b * whole(q.P) + u, how.threshold ? sample_units<V>(how, row_key, u) : set1<V>(T(how.otherwise)));
    }
  }

  // to [columns] = the operand of R for row b, whose k-th state lies at state(k).
  template <class State>
  const T* row(T* to, int64_t b, State state) const {
    return row(to, b, state, 0, columns());
  }
  // Its columns [first, last).
  template <class State>
  const T* row(T* to, int64_t b, State state, int64_t first, int64_t last) const {
    if (first < q.P) copy_h(to + first, state(0) + first, b, first, std::min(last, q.P) - first);
    for (int j = 1; j < Cell::fed; ++j) {
      const int64_t begin = std::max(first, column_of(j)), end = std::min(last, column_of(j) + q.H);
      if (begin < end) std::memcpy(to + begin, state(Cell::fed_states[j]) + begin - column_of(j), (end - begin) * sizeof(T));
    }
    return to;
  }

  // to [columns] += the mask of row b times d [columns], for the columns of h from `first` on.
  void add_times(T* to, const T* d, int64_t b, int64_t first, int64_t columns) const {
    const T* m = mask + b * whole(q.P) + first;
    for (int64_t c = 0; c < columns; ++c) to[c] += m[c] * d[c];
  }

 private:
  const Sequence<T>& q;
  const Steps& steps;
  T* mask;  // [B, P in whole vectors]

  static int64_t whole(int64_t columns) { return (columns + L - 1) / L * L; }

  // to [columns] = h [columns], times the mask of row b from `first` on if there is one.
  void copy_h(T* to, const T* h, int64_t b, int64_t first, int64_t columns) const {
    if (!masked()) return void(std::memcpy(to, h, columns * sizeof(T)));
    const T* m = mask + b * whole(q.P) + first;
    int64_t c = 0;
    for (; c + L <= columns; c += L) store<V>(to + c, load<V>(m + c) * load<V>(h + c));
    if (c < columns) store_tail<V>(to + c, load_tail<V>(m + c, columns - c) * load_tail<V>(h + c, columns - c), columns - c);
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
