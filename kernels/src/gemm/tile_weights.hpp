// The tile of tile.hpp on numbers and rounded weights: bfloat16 in pairs, or int8 in quads. A step of a stream multiplies one row, or a few,
// by all weights, and takes as long as they take to arrive: 1 MB in float, 11 us, at H = 256.
//
// bfloat16: a shift or a mask makes a number of each weight. Where the machine multiplies pairs (tile_bf16.hpp), a row is the sum of two
// bfloat16, which halves the instructions; without them a step would wait for these, and no longer for the memory.
// int8: integer sums of at most 64 quads (int8.hpp), then as float times both scales.
//
// There are two sums for each row and vector: of first and second weights, or of upper and lower parts of the row. A single row needs as
// many chains of additions; and with rows of a batch in more tiles than one, a row must not depend on how many share its tile.
//
// Tried and lost, for one row at H = 256: int8 operands, half the multiplications (7 % faster, 256 times as rough); fetching the panel ahead
// (0 %, bfloat16 -6 %), or the next group's during the pointwise step (0 to -10 %).
#pragma once
#include "gemm/int8.hpp"
#include "gemm/tile_bf16.hpp"

namespace carrousel::CARROUSEL_TARGET {

inline constexpr int max_weight_rows = registers == 32 ? 2 : 1;

// ---- bfloat16

// sum += number 2 k of each row times the first weights of pair k; or number 2 k + 1 times the second.
template <bool second, class V, int M, int N>
CARROUSEL_INLINE void accumulate_weights(V (&sum)[M][N], const float* const (&row)[M], const float* panel, int64_t k) {
  V held[M];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) held[m] = set1<V>(row[m][2 * k + second]);
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) {
    V p = half<second, V>((unsigned_of<V>)load<V>(panel + n * lanes<V>));
    keep_in_register(p);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) sum[m][n] += held[m] * p;
  }
}

template <class V, int M, int N>
CARROUSEL_INLINE void accumulate_halves_of_weights(V (&sums)[2][M][N], const Factor<float>& f) {
  const float *row[M], *panel = f.panel;
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) row[m] = f.rows[m];
  for (int64_t k = 0, K = f.K, ld_panel = f.ld_panel; k < K; ++k, panel += ld_panel) {
    accumulate_weights<false>(sums[0], row, panel, k);
    accumulate_weights<true>(sums[1], row, panel, k);
  }
}

template <class V, int M, int N>
CARROUSEL_INLINE void put_both_sums(float* acc, int64_t ld_acc, const float* start, int64_t ld_start, V (&sums)[2][M][N]) {
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) sums[0][m][n] += sums[1][m][n];
  put_sums(acc, ld_acc, start, ld_start, sums[0]);
}

template <class V, int M, int N>
void bfloat16_weight_tile(float* acc, int64_t ld_acc, const float* start, int64_t ld_start, const Factor<float>& lead,
                          const Factor<float>& main) {
  V sums[2][M][N] = {};
  if (lead.K) accumulate_halves_of_weights(sums, lead);
  accumulate_halves_of_weights(sums, main);
  put_both_sums(acc, ld_acc, start, ld_start, sums);
}

template <class V>
inline constexpr TileTable<V> bfloat16_weight_tiles =
    table_of_tiles<V, max_weight_rows>([]<int M, int N>() -> Tile<V> { return bfloat16_weight_tile<V, M, N>; });

// ---- int8

// Each number of the operand's words times a quad's bytes; sums of upper and lower bytes where those are multiplied.
template <class V, int M, int N>
CARROUSEL_INLINE void put_scaled(V (&sum)[M][N], const vec<int32_t, lanes<V>> (&sums)[M][N], const Factor<float>& f) {
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    const int32_t offset = offset_of_block(f.rows[m], f.origins[m]);
    const V scale = set1<V>(f.origins[m][-1]);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) sum[m][n] += __builtin_convertvector(sums[m][n] - offset, V) * (scale * load<V>(f.scales + n * lanes<V>));
  }
}

template <class V, int M, int N>
CARROUSEL_INLINE void accumulate_quads(V (&sum)[M][N], const Factor<float>& f) {
  vec<int32_t, lanes<V>> sums[M][N] = {};
  const float* panel = f.panel;
  for (int64_t k = 0, K = f.K, ld_panel = f.ld_panel; k < K; ++k, panel += ld_panel)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      const V quads = load<V>(panel + n * lanes<V>);
      const V even = (V)((unsigned_of<V>)quads & 0x00ff00ff), odd = (V)((vec<uint16_t, 2 * lanes<V>>)quads >> 8);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m)
        sums[m][n] +=
            multiply_add_16<V>(even, (V)set1_pair<V>(f.rows[m] + 2 * k)) + multiply_add_16<V>(odd, (V)set1_pair<V>(f.rows[m] + 2 * k + 1));
    }
  put_scaled(sum, sums, f);
}

template <class V, int M, int N>
void int8_weight_tile(float* acc, int64_t ld_acc, const float* start, int64_t ld_start, const Factor<float>& lead,
                      const Factor<float>& main) {
  V sum[M][N] = {};
  if (lead.K) accumulate_quads(sum, lead);
  accumulate_quads(sum, main);
  put_sums(acc, ld_acc, start, ld_start, sum);
}

template <class V>
inline constexpr TileTable<V> int8_weight_tiles =
    table_of_tiles<V, max_weight_rows>([]<int M, int N>() -> Tile<V> { return int8_weight_tile<V, M, N>; });

// ---- by the machine's own instructions

#if defined(__AVX512F__)
#define CARROUSEL_BYTES __attribute__((target("avx512vnni")))

template <class V, int M, int N>
CARROUSEL_PAIRS CARROUSEL_INLINE void multiply_split_rows(V (&sums)[2][M][N], const Factor<float>& f) {
  const float* panel = f.panel;
  for (int64_t k = 0, K = f.K, ld_panel = f.ld_panel; k < K; ++k, panel += ld_panel)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      const __m512bh p = (__m512bh)load<V>(panel + n * lanes<V>);
#pragma GCC unroll 8
      for (int part = 0; part < 2; ++part)
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m)
          sums[part][m][n] = (V)_mm512_dpbf16_ps((__m512)sums[part][m][n], (__m512bh)set1_pair<V>(f.rows[m] + 2 * k + part), p);
    }
}

template <class V, int M, int N>
CARROUSEL_PAIRS void machine_bfloat16_weight_tile(float* acc, int64_t ld_acc, const float* start, int64_t ld_start,
                                                  const Factor<float>& lead, const Factor<float>& main) {
  V sums[2][M][N] = {};
  if (lead.K) multiply_split_rows(sums, lead);
  multiply_split_rows(sums, main);
  put_both_sums(acc, ld_acc, start, ld_start, sums);
}

template <class V, int M, int N>
CARROUSEL_BYTES CARROUSEL_INLINE void multiply_quads(V (&sum)[M][N], const Factor<float>& f) {
  vec<int32_t, lanes<V>> sums[2][M][N] = {};
  const float* panel = f.panel;
  for (int64_t k = 0, K = f.K, ld_panel = f.ld_panel; k < K; ++k, panel += ld_panel)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      const __m512i quads = (__m512i)load<V>(panel + n * lanes<V>);
#pragma GCC unroll 8
      for (int part = 0; part < 2; ++part)
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m)
          sums[part][m][n] = (vec<int32_t, lanes<V>>)_mm512_dpbusd_epi32((__m512i)sums[part][m][n], quads,
                                                                         (__m512i)set1_pair<V>(f.rows[m] + 2 * k + part));
    }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) sums[0][m][n] = (sums[0][m][n] << 8) + sums[1][m][n];
  put_scaled(sum, sums[0], f);
}

template <class V, int M, int N>
CARROUSEL_BYTES void machine_int8_weight_tile(float* acc, int64_t ld_acc, const float* start, int64_t ld_start, const Factor<float>& lead,
                                              const Factor<float>& main) {
  V sum[M][N] = {};
  if (lead.K) multiply_quads(sum, lead);
  multiply_quads(sum, main);
  put_sums(acc, ld_acc, start, ld_start, sum);
}

template <class V>
inline constexpr TileTable<V> machine_bfloat16_weight_tiles =
    table_of_tiles<V, max_weight_rows>([]<int M, int N>() -> Tile<V> { return machine_bfloat16_weight_tile<V, M, N>; });
template <class V>
inline constexpr TileTable<V> machine_int8_weight_tiles =
    table_of_tiles<V, max_weight_rows>([]<int M, int N>() -> Tile<V> { return machine_int8_weight_tile<V, M, N>; });
#endif

template <class V>
CARROUSEL_INLINE Tile<V> weight_tile_of(bool int8, int M, int N) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64) {
    if (int8 && multiplies_bytes<V>()) return machine_int8_weight_tiles<V>[M - 1][N - 1];
    if (!int8 && splits_rows<V>()) return machine_bfloat16_weight_tiles<V>[M - 1][N - 1];
  }
#endif
  return (int8 ? int8_weight_tiles<V> : bfloat16_weight_tiles<V>)[M - 1][N - 1];
}

}  // namespace carrousel::CARROUSEL_TARGET
