// Numbers rounded to bfloat16, in pairs: two consecutive terms of a sum in the 32 bits of one float, the first in the lower half.
//
// A sum of K terms becomes one of (K + 1) / 2 pairs. To packing, transposition and products, rows and panels of pairs are rows and panels
// of "floats" that they only move; the tile in tile_bf16.hpp does the arithmetic. A row of pairs is the row's numbers one after another,
// two bytes each.
//
// Rounds to nearest, ties to even; overflow gives infinity, and NaN stays NaN.
#pragma once
#include <algorithm>
#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

// Number of pairs that hold n numbers.
inline constexpr int64_t pairs_for(int64_t n) { return (n + 1) / 2; }

// The same for a row that is written in whole vectors.
template <class V>
inline constexpr int64_t pair_stride(int64_t n) {
  return (n + lanes<V> - 1) / lanes<V> * lanes<V> / 2;
}

template <class V>
using unsigned_of = vec<uint32_t, lanes<V>>;

// x rounded, in the upper half of each lane; the lower half is undefined.
template <class V>
CARROUSEL_INLINE unsigned_of<V> rounded(V x) {
  using U = unsigned_of<V>;
  const U bits = (U)x, last = (bits >> 16) & 1, number = (U)(x == x);
  return (number & (bits + 0x7fff + last)) | (~number & (bits | 0x400000));  // a NaN is made quiet: its lower bits may be all it has
}

template <class V>
CARROUSEL_INLINE V pair(V first, V second) {
  return (V)((rounded(first) >> 16) | (rounded(second) & 0xffff0000));
}

// to [pair_stride(n)] = row [n], and zeros. `to` may be `row`.
template <class V>
void round_row(element<V>* to, const element<V>* row, int64_t n) {
  constexpr int L = lanes<V>;
  typedef uint16_t Numbers __attribute__((vector_size(2 * L)));
  typedef uint16_t InMemory __attribute__((vector_size(2 * L), aligned(2), may_alias));
  for (int64_t k = 0; k < n; k += L) {
    const V x = load_n<V>(row + k, int(std::min<int64_t>(L, n - k)));
    *reinterpret_cast<InMemory*>(to + k / 2) = __builtin_convertvector(rounded(x) >> 16, Numbers);
  }
}

// Whether a row beside bfloat16 weights is given as the sum of two bfloat16, for the machine's own products of pairs (tile_bf16.hpp).
template <class V>
inline bool splits_rows() {
#if defined(__AVX512F__)
  static const bool has = __builtin_cpu_supports("avx512bf16");
  return has && sizeof(V) == 64;
#else
  return false;
#endif
}

// to [split_stride(n)] = row [n], in words of two: the bfloat16 next to two numbers, and those next to what is left of them.
template <class V>
inline constexpr int64_t split_stride(int64_t n) {
  return 2 * pair_stride<V>(n);
}
template <class V>
void split_row(element<V>* to, const element<V>* row, int64_t n) {
  constexpr int L = lanes<V>;
  using TwoNumbers = vec<uint64_t, L / 2>;
  const auto pairs = [](unsigned_of<V> x) { return ((TwoNumbers)x >> 16 & 0xffff) | ((TwoNumbers)x >> 32 & 0xffff0000); };
  for (int64_t k = 0; k < n; k += L) {
    const V x = load_n<V>(row + k, int(std::min<int64_t>(L, n - k)));
    const unsigned_of<V> upper = rounded(x) & 0xffff0000;
    const V left = x - (V)upper, lower = left == left ? left : V{};  // of infinity nothing is left
    store<V>(to + k, (V)(pairs(upper) | pairs(rounded(lower)) << 32));
  }
}

// Row k of `to` = rows 2k and 2k + 1 of `rows` [count, width], number beside number, for k in [first, last); width in whole vectors. Both
// have the row stride ld. From k = 0 it works in place.
template <class V>
void pair_rows(element<V>* to, const element<V>* rows, int64_t ld, int64_t count, int64_t width, int64_t first, int64_t last) {
  for (int64_t k = first; k < last; ++k)
    for (int64_t c = 0; c < width; c += lanes<V>) {
      const element<V>* row = rows + 2 * k * ld + c;
      store<V>(to + k * ld + c, pair(load<V>(row), 2 * k + 1 < count ? load<V>(row + ld) : V{}));
    }
}

}  // namespace carrousel::CARROUSEL_TARGET
