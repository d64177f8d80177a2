// The order of time: which step is s-th, which rows of the batch have it, and where a (step, row) pair lies in memory.
#pragma once
#include "carrousel/sequence.hpp"
#include "simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

class Steps {
 public:
  explicit Steps(const Rows& rows) : rows_(rows) {}

  // Packed sequences: where each step's rows begin. offsets [T] is scratch that is filled here and must live as long as this.
  void locate(int64_t* offsets) {
    offsets_ = offsets;
    int64_t sum = 0;
    for (int64_t t = 0; packed() && t < rows_.T; ++t) {
      offsets[t] = sum;
      sum += rows_.batch_sizes[t];
    }
  }

  long count() const { return rows_.T; }
  bool packed() const { return rows_.batch_sizes != nullptr; }
  long t(long s) const { return rows_.reverse ? rows_.T - 1 - s : s; }

  // Rows 0 .. active(s) - 1 have the s-th step; none has a step before the first or after the last.
  long active(long s) const {
    if (s < 0 || s >= rows_.T) return 0;
    return packed() ? rows_.batch_sizes[t(s)] : rows_.B;
  }
  bool starts(long s, long b) const { return b >= active(s - 1); }
  bool ends(long s, long b) const { return b >= active(s + 1); }

  long at(long s, long b) const { return packed() ? offsets_[t(s)] + b : t(s) * rows_.step_stride + b * rows_.row_stride; }

 private:
  Rows rows_;
  const int64_t* offsets_ = nullptr;
};

// The rows of the batch that one thread works on. A dense batch is cut into runs, so that threads write far from each other; packed
// rows are dealt in turn, since the first are the longest.
struct Share {
  long first, stride, count;

  long row(long i) const { return first + i * stride; }
  // How many of them lie below `active`: always the first ones.
  long below(long active) const {
    const long n = (active - first + stride - 1) / stride;
    return n < 0 ? 0 : n > count ? count : n;
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
