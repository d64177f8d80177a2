// The operands of a sequence's matrix products: its numbers as they are, or rounded to bfloat16, in pairs. The only file that knows about
// bf16 rounding; for fp32 and fp64 every function here is a no-op.
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
  // Which tiles to use; terms_of_many(): for products with more rows than a batch of one has.
  Terms terms() const { return rounded_ ? Terms::pairs : one_row_ ? Terms::one_row : Terms::numbers; }
  Terms terms_of_many() const { return rounded_ ? Terms::pairs : Terms::numbers; }
  // Terms of a sum over n numbers.
  int64_t count(int64_t n) const { return rounded_ ? pairs_for(n) : n; }
  // Elements of scratch that `round` needs.
  int64_t capacity(int64_t rows, int64_t n) const { return rounded_ ? rows * pair_stride<V>(n) : 0; }

  // Turns rows [n], found by pointer, into operands: rounded into scratch, to which the pointers then point.
  void round(const T** rows, int64_t count, T* scratch, int64_t n) const {
    if constexpr (can_round)
      for (int64_t i = 0; rounded_ && i < count; ++i) {
        T* to = scratch + i * pair_stride<V>(n);
        round_row<V>(to, rows[i], n);
        rows[i] = to;
      }
  }

  // The same in place.
  void round_in_place(T* row, int64_t n) const {
    if constexpr (can_round)
      if (rounded_) round_row<V>(row, row, n);
  }

  // Turns a panel's rows [count, width], row stride ld, into operands: row k of pairs holds the rows 2k and 2k + 1.
  void pair_up(T* to, const T* rows, int64_t ld, int64_t count, int64_t width, int64_t first, int64_t last) const {
    if constexpr (can_round)
      if (rounded_) pair_rows<V>(to, rows, ld, count, width, first, last);
  }

 private:
  bool rounded_ = false, one_row_ = false;
};

}  // namespace carrousel::CARROUSEL_TARGET
