// The tile of tile.hpp on pairs of bfloat16 (bfloat16.hpp): products of two bfloat16 numbers are exact in float, and are summed in
// float.
//
// Where the machine multiplies and adds pairs in one instruction (AVX-512 BF16), functions compiled for that instruction are chosen at
// run time: it is not an instruction set of its own. It has twice the rate of the float tile. Elsewhere each half becomes a float, at
// nine tenths of the float tile's rate. The two round sums differently, and the instruction flushes numbers below 2^-126 to zero.
#pragma once
#include "gemm/bfloat16.hpp"
#include "gemm/tile.hpp"

namespace carrousel::CARROUSEL_TARGET {

// A pair, as bits, in all lanes.
template <class V>
CARROUSEL_INLINE unsigned_of<V> set1_pair(const float* p) {
  typedef uint32_t Bits __attribute__((may_alias));
  return unsigned_of<V>{} + *reinterpret_cast<const Bits*>(p);
}

// The first numbers of pairs as floats, or the second ones.
template <bool second, class V>
CARROUSEL_INLINE V half(unsigned_of<V> pairs) {
  return (V)(second ? pairs & 0xffff0000 : pairs << 16);
}

// sum += the products of the first numbers of pair k, or of the second: as `accumulate`, the rows' numbers in registers. Both halves of
// both factors at once would need more registers than AVX2 has.
template <bool second, class V, int M, int N>
CARROUSEL_INLINE void accumulate_halves(V (&sum)[M][N], const float* const (&row)[M], const float* panel, int64_t k) {
  V held[M];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    unsigned_of<V> a = set1_pair<V>(row[m] + k);
    keep_in_register(a);  // the halves of a scalar would take two instructions more
    held[m] = half<second, V>(a);
  }
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) {
    V p = half<second, V>((unsigned_of<V>)load<V>(panel + n * lanes<V>));
    keep_in_register(p);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) sum[m][n] += held[m] * p;
  }
}

template <class V, int M, int N>
CARROUSEL_INLINE void accumulate_pairs(V (&sum)[M][N], const Factor<float>& f) {
  const float* row[M];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) row[m] = f.rows[m];
  const float* panel = f.panel;
  const int64_t K = f.K, ld_panel = f.ld_panel;
  for (int64_t k = 0; k < K; ++k, panel += ld_panel) {
    accumulate_halves<false>(sum, row, panel, k);
    accumulate_halves<true>(sum, row, panel, k);
  }
}

// A product uses tiles of at most so many rows: with 16 registers, 3 x 4 leave none for the mask of the halves, at half the rate of 2 x 4.
inline constexpr int max_pair_rows = registers == 32 ? max_rows : 2;

// As `tile`; K counts pairs.
template <class V, int M, int N>
void pair_tile(float* acc, int64_t ld_acc, const float* start, int64_t ld_start, const Factor<float>& lead, const Factor<float>& main) {
  V sum[M][N] = {};
  if (lead.K) accumulate_pairs(sum, lead);
  accumulate_pairs(sum, main);
  put_sums(acc, ld_acc, start, ld_start, sum);
}

template <class V>
inline constexpr TileTable<V> pair_tiles = table_of_tiles<V>([]<int M, int N>() -> Tile<V> { return pair_tile<V, M, N>; });

#if defined(__AVX512F__)
#define CARROUSEL_PAIRS __attribute__((target("avx512bf16")))

inline bool machine_has_pairs() {
  static const bool has = __builtin_cpu_supports("avx512bf16");
  return has;
}

template <class V, int M, int N>
CARROUSEL_PAIRS CARROUSEL_INLINE void multiply_pairs(V (&sum)[M][N], const Factor<float>& f) {
  const float* row[M];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) row[m] = f.rows[m];
  const float* panel = f.panel;
  const int64_t K = f.K, ld_panel = f.ld_panel;
  for (int64_t k = 0; k < K; ++k, panel += ld_panel) {
    V p[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) p[n] = load<V>(panel + n * lanes<V>);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const unsigned_of<V> a = set1_pair<V>(row[m] + k);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[m][n] = (V)_mm512_dpbf16_ps((__m512)sum[m][n], (__m512bh)a, (__m512bh)p[n]);
    }
  }
}

template <class V, int M, int N>
CARROUSEL_PAIRS void machine_pair_tile(float* acc, int64_t ld_acc, const float* start, int64_t ld_start, const Factor<float>& lead,
                                       const Factor<float>& main) {
  V sum[M][N] = {};
  if (lead.K) multiply_pairs(sum, lead);
  multiply_pairs(sum, main);
  put_sums(acc, ld_acc, start, ld_start, sum);
}

template <class V>
inline constexpr TileTable<V> machine_pair_tiles = table_of_tiles<V>([]<int M, int N>() -> Tile<V> { return machine_pair_tile<V, M, N>; });
#endif

template <class V>
CARROUSEL_INLINE Tile<V> pair_tile_of(int M, int N) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64)
    if (machine_has_pairs()) return machine_pair_tiles<V>[M - 1][N - 1];
#endif
  return pair_tiles<V>[M - 1][N - 1];
}

}  // namespace carrousel::CARROUSEL_TARGET
