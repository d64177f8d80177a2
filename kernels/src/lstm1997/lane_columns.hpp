// Columns of numbers in separate memory, one for each lane, transposed to and from vectors that hold one number of every column.
// Four numbers of a column are one load, and squares of four by four are transposed in registers. Number by number, with a store
// for each and a load of the vector, this took a fifth of the time of a step of Experiment 2c.
#pragma once
#include "gemm/transpose.hpp"

namespace carrousel::CARROUSEL_TARGET {

// Elements of such a column of n numbers.
constexpr int in_fours(int n) { return (n + 3) / 4 * 4; }

// Loads four numbers from each of lanes / 4 places.
template <class V>
CARROUSEL_INLINE V load_fours(const float* const* from) {
#if defined(__AVX512F__)  // with full masks: GCC calls the plain intrinsics uninitialized (its bug 105593)
  if constexpr (sizeof(V) == 64) {
    const __m512 half = _mm512_maskz_insertf32x4(0xffff, _mm512_castps128_ps512(_mm_loadu_ps(from[0])), _mm_loadu_ps(from[1]), 1);
    return (V)_mm512_maskz_insertf32x4(0xffff, _mm512_maskz_insertf32x4(0xffff, half, _mm_loadu_ps(from[2]), 2), _mm_loadu_ps(from[3]), 3);
  }
#endif
#if defined(__AVX__)
  if constexpr (sizeof(V) == 32) return (V)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from[0])), _mm_loadu_ps(from[1]), 1);
#endif
  V v;
  for (int j = 0; j < lanes<V> / 4; ++j) std::memcpy(reinterpret_cast<float*>(&v) + 4 * j, from[j], 4 * sizeof(float));
  return v;
}

// Adds four numbers to each of lanes / 4 places.
template <class V>
CARROUSEL_INLINE void add_fours(float* const* to, V v) {
  using Four = vec<float, 4>;
  const auto add = [&](int j, Four four) { store<Four>(to[j], load<Four>(to[j]) + four); };
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64) {
    const auto four = [&](auto j) { return (Four)_mm512_maskz_extractf32x4_ps(0xf, (__m512)v, j.value); };
    add(0, four(std::integral_constant<int, 0>{}));
    add(1, four(std::integral_constant<int, 1>{}));
    add(2, four(std::integral_constant<int, 2>{}));
    add(3, four(std::integral_constant<int, 3>{}));
    return;
  }
#endif
#if defined(__AVX__)
  if constexpr (sizeof(V) == 32) {
    add(0, (Four)_mm256_castps256_ps128((__m256)v));
    add(1, (Four)_mm256_extractf128_ps((__m256)v, 1));
    return;
  }
#endif
  for (int j = 0; j < lanes<V> / 4; ++j) add(j, load<Four>(reinterpret_cast<const float*>(&v) + 4 * j));
}

// out[k][lane] = columns[lane][k] for k < N; a column has in_fours(N) elements.
template <class V, int N>
CARROUSEL_INLINE void side_by_side(V (&out)[N], const float* const* columns) {
  for (int q = 0; q < N; q += 4) {
    V v[4];
    for (int k = 0; k < 4; ++k) {
      const float* from[lanes<V> / 4];
      for (int j = 0; j < lanes<V> / 4; ++j) from[j] = columns[4 * j + k] + q;
      v[k] = load_fours<V>(from);
    }
    swap_blocks<V, 1, 4>(v);
    for (int k = 0; k < 4 && q + k < N; ++k) out[q + k] = v[k];
  }
}

// columns[lane][k] += in[k][lane]. Several lanes may share a column whose sums nobody reads.
template <class V, int N>
CARROUSEL_INLINE void add_one_each(float* const* columns, const V (&in)[N]) {
  for (int q = 0; q < N; q += 4) {
    V v[4] = {};
    for (int k = 0; k < 4 && q + k < N; ++k) v[k] = in[q + k];
    swap_blocks<V, 1, 4>(v);
    for (int k = 0; k < 4; ++k) {
      float* to[lanes<V> / 4];
      for (int j = 0; j < lanes<V> / 4; ++j) to[j] = columns[4 * j + k] + q;
      add_fours<V>(to, v[k]);
    }
  }
}

}  // namespace carrousel::CARROUSEL_TARGET
