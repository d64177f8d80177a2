// The order of time: which step is s-th, which rows of the batch have it, and where a (step, row) pair lies in memory.
//
// Packed sequences have the longest row first. The rows of a ragged batch are sorted into that order here and looked up through it:
// the kernels' row b is the caller's row(b). So at each step the rows that have it are the first ones.
#pragma once
#include <algorithm>
#include "carrousel/sequence.hpp"
#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

// Number of (step, row) pairs.
inline int64_t count_step_rows(const Rows& rows) {
  if (rows.offsets) return rows.offsets[rows.B] - rows.offsets[0];
  int64_t sum = 0;
  for (int64_t t = 0; rows.batch_sizes && t < rows.T; ++t) sum += rows.batch_sizes[t];
  for (int64_t b = 0; rows.lengths && b < rows.B; ++b) sum += rows.lengths[b];
  return rows.batch_sizes || rows.lengths ? sum : rows.T * rows.B;
}

// Where the states before a step come from.
enum class Origin { before, initial, restored };

class Steps {
 public:
  explicit Steps(const Rows& rows) : rows_(rows), T_(rows.T), sizes_(rows.batch_sizes) {
    if (!rows.ragged()) return;
    T_ = 0;
    for (int64_t b = 0; b < rows.B; ++b) T_ = std::max(T_, rows.length(b));
  }

  // Elements that locate() needs.
  int64_t scratch() const { return rows_.ragged() ? 2 * (T_ + 1) + 2 * rows_.B : packed() ? T_ : 0; }

  // Prepares the lookups of at() and the like. Fills scratch, which must live as long as this.
  void locate(int64_t* scratch) {
    if (rows_.ragged()) return sort(scratch);
    offsets_ = scratch;
    int64_t sum = 0;
    for (int64_t t = 0; packed() && t < T_; ++t) {
      scratch[t] = sum;
      sum += sizes_[t];
    }
  }

  int64_t count() const { return T_; }
  bool packed() const { return rows_.batch_sizes != nullptr; }
  int64_t t(int64_t s) const { return rows_.reverse ? T_ - 1 - s : s; }

  // Rows 0 .. active(s) - 1 have the s-th step; no row has a step before the first or after the last.
  int64_t active(int64_t s) const {
    if (s < 0 || s >= T_) return 0;
    return sizes_ ? sizes_[t(s)] : rows_.B;
  }
  int64_t rows_with_steps() const { return !T_ ? 0 : sizes_ ? sizes_[0] : rows_.B; }
  bool starts(int64_t s, int64_t b) const { return b >= active(s - 1); }
  bool ends(int64_t s, int64_t b) const { return b >= active(s + 1); }

  // Whether the states are restored before a step. A reset splits step t from step t - 1, whichever of them is computed first:
  // resets make several sequences of one, the same ones in either direction. In reverse, a reset before a row's last step (its
  // first in time) splits nothing.
  bool restarts(int64_t s, int64_t b) const {
    if (!rows_.resets) return false;
    if (rows_.reverse) return !starts(s, b) && rows_.resets[at(s - 1, b)];
    return rows_.resets[at(s, b)];
  }
  Origin origin(int64_t s, int64_t b) const { return restarts(s, b) ? Origin::restored : starts(s, b) ? Origin::initial : Origin::before; }

  // The caller's row.
  int64_t row(int64_t b) const { return order_ ? order_[b] : b; }
  // And the number of the row for its masks.
  int64_t number(const RandomMasks& masks, int64_t b) const { return masks.rows ? masks.rows[row(b)] : row(b); }
  // The pair's index in the caller's x and y.
  int64_t at(int64_t s, int64_t b) const {
    if (starts_) return t(s) * stride_ + starts_[b];
    return packed() ? offsets_[t(s)] + b : t(s) * rows_.step_stride + b * rows_.row_stride;
  }
  // And in what is saved for backward: existing pairs only, one after another.
  int64_t saved_at(int64_t s, int64_t b) const { return starts_ ? offsets_[t(s)] + b : at(s, b); }

 private:
  // Ragged: sorts the longest row first; rows of equal length stay in the caller's order.
  void sort(int64_t* scratch) {
    int64_t *sizes = scratch, *offsets = sizes + T_ + 1, *order = offsets + T_ + 1, *starts = order + rows_.B;
    std::fill(sizes, sizes + T_ + 1, 0);
    for (int64_t b = 0; b < rows_.B; ++b) ++sizes[T_ - rows_.length(b)];  // rows that are so much shorter than the longest
    for (int64_t less = 0, sum = 0; less <= T_; ++less) {
      offsets[less] = sum;  // where the first of them goes
      sum += sizes[less];
    }
    for (int64_t b = 0; b < rows_.B; ++b) {
      const int64_t place = offsets[T_ - rows_.length(b)]++;
      order[place] = b;
      starts[place] = rows_.offsets ? rows_.offsets[b] : b * rows_.row_stride;
    }
    int64_t longer = rows_.B, sum = 0;
    for (int64_t t = 0; t < T_; ++t) {
      while (longer > 0 && rows_.length(order[longer - 1]) <= t) --longer;
      sizes[t] = longer;
      offsets[t] = sum;
      sum += longer;
    }
    sizes_ = sizes;
    offsets_ = offsets;
    order_ = order;
    starts_ = starts;
    stride_ = rows_.offsets ? 1 : rows_.step_stride;
  }

  Rows rows_;
  int64_t T_, stride_ = 0;
  const int64_t *sizes_, *offsets_ = nullptr, *order_ = nullptr, *starts_ = nullptr;
};

// The rows of the batch that one thread computes. A dense batch is cut into runs, so that threads write far from each other; packed
// and ragged rows are dealt in turn, because the first are the longest.
struct Share {
  int64_t first, stride, count;

  // Dealt forwards and backwards: otherwise the first thread would get the longest row of each round.
  int64_t place(int64_t round) const { return stride > 1 && round % 2 ? stride - 1 - first : first; }
  int64_t row(int64_t i) const { return i * stride + place(i); }
  // Number of this thread's rows below `active`: always its first ones.
  int64_t below(int64_t active) const {
    if (stride == 1) return std::clamp(active - first, int64_t(0), count);
    const int64_t rounds = active / stride;
    return std::min(rounds + (place(rounds) < active % stride), count);
  }
  static Share dealt(int64_t rank, int64_t members, int64_t rows) {
    const Share share{rank, members, rows};
    return {rank, members, members == 1 ? rows : rows / members + (share.place(rows / members) < rows % members)};
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
