// Sums over the output units, in the same order for one network and for many: 16 partial sums, of the units k mod 16, folded in
// halves. Vectors of any width add in that order, and 101 units are not a chain of 101 additions.
#pragma once
#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

inline constexpr int partials = 16;

// The sum of partial sums [partials], numbers or vectors, of which those from `count` on are zero; overwrites them.
template <class T>
CARROUSEL_INLINE T folded(T* partial, int count) {
  for (int half = partials / 2; half; half /= 2)
    for (int i = 0; i < half && half < count; ++i) partial[i] += partial[i + half];
  return partial[0];
}

// The sum over k of term(at), a vector of the N values k = at ... at + N - 1; K is padded to whole vectors, with zeros.
template <class F, int N, class Term>
CARROUSEL_INLINE F sum_over_outputs(int padded_K, Term term) {
  using V = vec<F, N>;
  V sums[partials / N] = {};
  for (int k = 0; k < padded_K; k += partials)
    for (int j = 0; j < partials / N; ++j)
      if (k + j * N < padded_K) sums[j] += term(k + j * N);
  F partial[partials];
  std::memcpy(partial, sums, sizeof partial);
  return folded(partial, padded_K);
}

}  // namespace carrousel::CARROUSEL_TARGET
