// The rows of the batch in sets that are not split among threads: sums over rows are made set by set, so that no bit depends on the
// number of threads. Sets are as large as possible while there are enough of them to distribute.
#pragma once
#include <algorithm>
#include "carrousel/sequence.hpp"
#include "machine/threads.hpp"

namespace carrousel::CARROUSEL_TARGET {

struct RowSets {
  static constexpr int64_t most = 8;  // rows of a set
  int64_t B;
  int shift;                          // a set has 1 << shift rows, the last one the rest
  bool dealt;                         // in turn, if the first rows are the longest; else each thread has a run of sets

  explicit RowSets(const Rows& rows)
      : B(rows.B),
        shift(B < 16     ? 0
              : B <= 128 ? 2
                         : 3),
        dealt(rows.batch_sizes != nullptr || rows.ragged()) {}
  int64_t each() const { return int64_t(1) << shift; }
  int64_t count() const { return (B + each() - 1) >> shift; }
  int64_t rows() const { return count() << shift; }  // B, rounded up to whole sets
};

// The sets of one member, and its rows in their order: those below any `active` are its first ones.
class ThreadSets {
 public:
  ThreadSets(const RowSets& sets, Member me)
      : sets_(sets), first_(me.first(sets.count())), stride_(1), count_(me.last(sets.count()) - first_) {
    base_ = first_ << sets.shift;
    if (!sets.dealt) return;
    const int64_t whole = sets.count() / me.members, more = sets.count() % me.members;
    first_ = me.rank;
    stride_ = me.members;
    count_ = whole + (me.rank < more);
    base_ = (whole * me.rank + std::min<int64_t>(me.rank, more)) << sets.shift;
  }

  int64_t base() const { return base_; }  // rows of the members before this one
  int64_t row(int64_t i) const { return (set(i >> sets_.shift) << sets_.shift) + (i & (sets_.each() - 1)); }
  int64_t below(int64_t active) const {
    int64_t rows = 0;
    each(active, [&](int64_t, int64_t, int64_t n, int64_t) { rows += n; });
    return rows;
  }
  // Calls body(set, its first row, its number of rows below `active`, the place of the first among this member's rows).
  template <class Body>
  void each(int64_t active, Body body) const {
    active = std::min(active, sets_.B);
    for (int64_t k = 0; k < count_; ++k) {
      const int64_t b = set(k) << sets_.shift;
      if (b >= active) return;
      body(set(k), b, std::min(sets_.each(), active - b), k << sets_.shift);
    }
  }

 private:
  const RowSets& sets_;
  int64_t first_, stride_, count_, base_;

  int64_t set(int64_t k) const { return first_ + k * stride_; }
};

}  // namespace carrousel::CARROUSEL_TARGET
