// What the matrix products of a sequence are made of: its numbers as they are, or rounded to bfloat16, in pairs. All that has to know it
// is here; where numbers are taken as they are, nothing is done and no room is taken.
#pragma once
#include "carrousel/sequence.hpp"
#include "gemm/gemm.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class V>
class Operands {
  using T = element<V>;
  static constexpr bool can_round = std::is_same_v<T, float>;

 public:
  Operands() = default;
  explicit Operands(const Sequence<T>& q) : rounded_(can_round && q.bfloat16), one_row_(q.rows.B == 1) {}

  bool rounded() const { return rounded_; }
  // What product is told of them, and of those that are never the only row of a batch.
  Terms terms() const { return rounded_ ? Terms::pairs : one_row_ ? Terms::one_row : Terms::numbers; }
  Terms terms_of_many() const { return rounded_ ? Terms::pairs : Terms::numbers; }
  // How many terms a sum over n numbers has.
  long count(long n) const { return rounded_ ? pairs_for(n) : n; }
  // Elements of scratch that `round` needs.
  long capacity(long rows, long n) const { return rounded_ ? rows * pair_stride<V>(n) : 0; }

  // Rows [n], found by pointer, become operands: rounded into scratch, where the pointers then point.
  void round(const T** rows, long count, T* scratch, long n) const {
    if constexpr (can_round)
      for (long i = 0; rounded_ && i < count; ++i) {
        T* to = scratch + i * pair_stride<V>(n);
        round_row<V>(to, rows[i], n);
        rows[i] = to;
      }
  }

  // A row that is written anyway, in place.
  void round_in_place(T* row, long n) const {
    if constexpr (can_round)
      if (rounded_) round_row<V>(row, row, n);
  }

  // A panel's rows [count, width], row stride ld, become its operands: the k-th row of pairs holds the rows 2k and 2k + 1.
  void pair_up(T* to, const T* rows, long ld, long count, long width, long first, long last) const {
    if constexpr (can_round)
      if (rounded_) pair_rows<V>(to, rows, ld, count, width, first, last);
  }

 private:
  bool rounded_ = false, one_row_ = false;
};

}  // namespace carrousel::CARROUSEL_TARGET
