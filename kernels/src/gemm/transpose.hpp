// Transposition in registers, a vector's worth of rows at a time. Packing weights, transposing inputs and writing gradients go through
// it: element by element they took a quarter of the whole backward pass at H = 650.
#pragma once
#include <algorithm>
#include <utility>
#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

// Lane j of the result is lane index(j) of a, or of b from `lanes` on.
template <class V, class Index, int... J>
CARROUSEL_INLINE V shuffle(V a, V b, Index index, std::integer_sequence<int, J...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, index(std::integral_constant<int, J>{})...);
#else
  return __builtin_shuffle(a, b, bits_of<V>{index(std::integral_constant<int, J>{})...});
#endif
}

// Swaps the blocks of width S across the diagonal of each 2S x 2S block. S = 1, 2, 4 ... in turn transposes the square, or, with fewer
// rows than a vector has lanes, the squares side by side in them.
template <class V, int S, int N>
CARROUSEL_INLINE void swap_blocks(V (&v)[N]) {
  constexpr int L = lanes<V>;
  using Lanes = std::make_integer_sequence<int, L>;
  constexpr auto low = [](auto j) { return std::integral_constant < int, (j & S) ? L + j - S : j > ::value; };
  constexpr auto high = [](auto j) { return std::integral_constant < int, (j & S) ? L + j : j + S > ::value; };
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) {
    if (i & S) continue;
    const V a = v[i], b = v[i + S];
    v[i] = shuffle(a, b, low, Lanes{});
    v[i + S] = shuffle(a, b, high, Lanes{});
  }
  if constexpr (2 * S < N) swap_blocks<V, 2 * S, N>(v);
}

// out[c][r] = rows[r][c] for r < n (at most a vector's worth) and c < columns. With `padded`, whole vectors are written, zero from n on.
template <class V>
void transpose_strip(element<V>* out, int64_t ld_out, const element<V>* const* rows, int n, int64_t columns, bool padded) {
  constexpr int L = lanes<V>;
  for (int64_t c = 0; c < columns; c += L) {
    const int some = int(std::min<int64_t>(L, columns - c));
    V v[L];
#pragma GCC unroll 16
    for (int r = 0; r < L; ++r) v[r] = r < n ? load_n<V>(rows[r] + c, some) : V{};
    swap_blocks<V, 1, L>(v);
#pragma GCC unroll 16
    for (int j = 0; j < L; ++j)
      if (j < some) store_n<V>(out + (c + j) * ld_out, v[j], padded ? L : n);
  }
}

// The same for any number of rows.
template <class V>
void transpose(element<V>* out, int64_t ld_out, const element<V>* const* rows, int64_t count, int64_t columns) {
  constexpr int L = lanes<V>;
  for (int64_t r = 0; r < count; r += L)
    transpose_strip<V>(out + r, ld_out, rows + r, int(std::min<int64_t>(L, count - r)), columns, false);
}

}  // namespace carrousel::CARROUSEL_TARGET
