// The operands of a sequence's matrix products: numbers as they are, or rounded to bfloat16, in pairs; or numbers, and weights that are
// rounded for a stream (Storage). The only file that knows about rounding; for fp32 and fp64 every function here is a no-op.
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
  explicit Operands(const Sequence<T>& q)
      : rounded_(can_round && q.bfloat16), one_row_(q.rows.B == 1), storage_(can_round ? q.storage : Storage::numbers) {}

  explicit Operands(bool rounded) : rounded_(can_round && rounded) {}

  bool rounded() const { return rounded_; }
  bool scaled() const { return storage_ == Storage::int8; }  // whether panels have scales beside them
  // Which tiles to use; terms_of_many(): for products with more rows than a batch of one has.
  Terms terms() const { return one_row_ && terms_of_many() == Terms::numbers ? Terms::one_row : terms_of_many(); }
  Terms terms_of_many() const {
    if (scaled()) return Terms::int8_weights;
    return storage_ == Storage::bfloat16 ? Terms::bfloat16_weights : rounded_ ? Terms::pairs : Terms::numbers;
  }
  // Terms of a sum over n numbers: the rows of a panel.
  int64_t count(int64_t n) const { return scaled() ? quads_for(n) : in_pairs() ? pairs_for(n) : n; }
  // Elements of scratch that `round` needs, and those that `round_weights` needs.
  int64_t capacity(int64_t rows, int64_t n) const {
    if (scaled()) return rows * quantized_size(n);
    if (rounded_) return rows * pair_stride<V>(n);
    return storage_ == Storage::bfloat16 && (splits_rows<V>() || n % 2) ? rows * split_stride<V>(n) : 0;
  }
  int64_t weights_capacity(int64_t rows, int64_t n) const {
    return scaled() ? rows * quads_for(n) : in_pairs() ? rows * pair_stride<V>(n) : 0;
  }

  // Turns rows [n], found by pointer, into operands: rounded into scratch, to which the pointers then point.
  void round(const T** rows, int64_t count, T* scratch, int64_t n) const {
    if constexpr (can_round) {
      const int64_t each = capacity(1, n);
      for (int64_t i = 0; each && i < count; ++i) {
        T* to = scratch + i * each;
        rows[i] = scaled() ? quantize_operand<V>(to, rows[i], n) : put_operand(to, rows[i], n);
      }
    }
  }

  // The same for rows of weights, which become the columns of a panel; int8: and their scales.
  void round_weights(const T** rows, int64_t count, T* scratch, int64_t n, T* scales) const {
    if constexpr (can_round) {
      const int64_t each = weights_capacity(1, n);
      for (int64_t i = 0; each && i < count; ++i) {
        T* to = scratch + i * each;
        if (scaled())
          scales[i] = quantize_weights(to, rows[i], n);
        else
          round_row<V>(to, rows[i], n);
        rows[i] = to;
      }
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
  Storage storage_ = Storage::numbers;

  bool in_pairs() const { return rounded_ || storage_ == Storage::bfloat16; }

  const T* put_operand(T* to, const T* row, int64_t n) const {
    if (rounded_) {
      round_row<V>(to, row, n);
    } else if (splits_rows<V>()) {
      split_row<V>(to, row, n);
    } else {  // an odd row, beyond whose end the last pair of weights is multiplied
      std::memcpy(to, row, n * sizeof(T));
      to[n] = 0;
    }
    return to;
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
