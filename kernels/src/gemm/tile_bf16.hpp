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

template <class V, int M, int N>
CARROUSEL_INLINE void accumulate_pairs(V (&sum)[M][N], const Factor<float>& f) {
  using U = unsigned_of<V>;
  for (int64_t k = 0; k < f.K; ++k) {
    V first[N], second[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      const U p = (U)load<V>(f.panel + k * f.ld_panel + n * lanes<V>);
      first[n] = (V)(p << 16);
      second[n] = (V)(p & 0xffff0000);
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const U a = set1_pair<V>(f.rows[m] + k);
      const V a_first = (V)(a << 16), a_second = (V)(a & 0xffff0000);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[m][n] += a_first * first[n] + a_second * second[n];
    }
  }
}

// As `tile`; K counts pairs.
template <class V, int M, int N>
void pair_tile(float* acc, int64_t ld_acc, const float* start, int64_t ld_start, const Factor<float>& lead, const Factor<float>& main) {
  V sum[M][N] = {};
  if (lead.K) accumulate_pairs(sum, lead);
  accumulate_pairs(sum, main);
  put_sums(acc, ld_acc, start, ld_start, sum);
}

#define CARROUSEL_TILES(tile, M) {tile<V, M, 1>, tile<V, M, 2>, tile<V, M, 3>, tile<V, M, 4>}
#define CARROUSEL_ALL_TILES(tile)                                                \
  {CARROUSEL_TILES(tile, 1), CARROUSEL_TILES(tile, 2), CARROUSEL_TILES(tile, 3), \
   CARROUSEL_TILES(tile, 4), CARROUSEL_TILES(tile, 5), CARROUSEL_TILES(tile, 6)}

template <class V>
inline constexpr Tile<V> pair_tiles[max_rows][max_vectors] = CARROUSEL_ALL_TILES(pair_tile);

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
inline constexpr Tile<V> machine_pair_tiles[max_rows][max_vectors] = CARROUSEL_ALL_TILES(machine_pair_tile);
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
