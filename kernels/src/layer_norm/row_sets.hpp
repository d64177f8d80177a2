// The rows of the batch in sets that are not split among threads: sums over rows are made set by set, so that no bit depends on the
// number of threads. Sets are as large as possible while there are enough of them to distribute.
#pragma once
#include <algorithm>
#include "carrousel/sequence.hpp"
#include "machine/threads.hpp"

namespace carrousel::CARROUSEL_TARGET {

struct RowSets {
  static constexpr long most = 8;  // rows of a set
  long B;
  int shift;                       // a set has 1 << shift rows, the last one the rest
  bool dealt;                      // in turn, if the first rows are the longest; else each thread has a run of sets

  explicit RowSets(const Rows& rows)
      : B(rows.B),
        shift(B < 16     ? 0
              : B <= 128 ? 2
                         : 3),
        dealt(rows.batch_sizes != nullptr || rows.ragged()) {}
  long each() const { return 1l << shift; }
  long count() const { return (B + each() - 1) >> shift; }
  long rows() const { return count() << shift; }  // B, rounded up to whole sets
};

// The sets of one member, and its rows in their order: those below any `active` are its first ones.
class ThreadSets {
 public:
  ThreadSets(const RowSets& sets, Member me)
      : sets_(sets), first_(me.first(sets.count())), stride_(1), count_(me.last(sets.count()) - first_) {
    base_ = first_ << sets.shift;
    if (!sets.dealt) return;
    const long whole = sets.count() / me.members, more = sets.count() % me.members;
    first_ = me.rank;
    stride_ = me.members;
    count_ = whole + (me.rank < more);
    base_ = (whole * me.rank + std::min<long>(me.rank, more)) << sets.shift;
  }

  long base() const { return base_; }  // rows of the members before this one
  long row(long i) const { return (set(i >> sets_.shift) << sets_.shift) + (i & (sets_.each() - 1)); }
  long below(long active) const {
    long rows = 0;
    each(active, [&](long, long, long n, long) { rows += n; });
    return rows;
  }
  // Calls body(set, its first row, its number of rows below `active`, the place of the first among this member's rows).
  template <class Body>
  void each(long active, Body body) const {
    active = std::min(active, sets_.B);
    for (long k = 0; k < count_; ++k) {
      const long b = set(k) << sets_.shift;
      if (b >= active) return;
      body(set(k), b, std::min(sets_.each(), active - b), k << sets_.shift);
    }
  }

 private:
  const RowSets& sets_;
  long first_, stride_, count_, base_;

  long set(long k) const { return first_ + k * stride_; }
};

}  // namespace carrousel::CARROUSEL_TARGET
