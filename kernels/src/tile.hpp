// The one inner loop of every matrix product here: acc[M][N vectors] += rows[M][K] * panel[K][N vectors].
//
// 6 rows x 4 vectors fill AVX-512's registers (24 accumulators, 4 of the panel, 1 broadcast), so that a loaded vector is used six
// times and a broadcast four times. Rows come by pointer, one each: they may lie anywhere (a padded batch, packed sequences, batch
// first), which is what lets one loop serve all layouts. Each accumulator adds its products in the order of k, whatever M is: a
// row's result does not depend on the rows beside it, nor on how rows are dealt to threads. The sum starts from zero and is added to
// acc at the end: a long sum then consists of many short ones, and loses far less to rounding than one long chain would.
#pragma once
#include "simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

inline constexpr int max_rows = 6;
inline constexpr int max_vectors = 4;

// acc       [M, N * lanes]  row stride ld_acc; read and written
// rows[m]   [K]             contiguous
// panel     [K, N * lanes]  row stride ld_panel
template <class V, int M, int N>
void tile(element<V>* acc, long ld_acc, const element<V>* const* rows, const element<V>* panel, long ld_panel, long K) {
  using T = element<V>;
  constexpr int L = lanes<V>;
  V sum[M][N];
  const T* row[M];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    row[m] = rows[m];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) sum[m][n] = V{};
  }
  for (long k = 0; k < K; ++k, panel += ld_panel) {
    V p[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) p[n] = load<V>(panel + n * L);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const V a = splat<V>(row[m][k]);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) sum[m][n] += a * p[n];
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) store<V>(acc + m * ld_acc + n * L, load<V>(acc + m * ld_acc + n * L) + sum[m][n]);
}

template <class V>
using Tile = void (*)(element<V>*, long, const element<V>* const*, const element<V>*, long, long);

template <class V>
inline constexpr Tile<V> tiles[max_rows][max_vectors] = {
    {tile<V, 1, 1>, tile<V, 1, 2>, tile<V, 1, 3>, tile<V, 1, 4>}, {tile<V, 2, 1>, tile<V, 2, 2>, tile<V, 2, 3>, tile<V, 2, 4>},
    {tile<V, 3, 1>, tile<V, 3, 2>, tile<V, 3, 3>, tile<V, 3, 4>}, {tile<V, 4, 1>, tile<V, 4, 2>, tile<V, 4, 3>, tile<V, 4, 4>},
    {tile<V, 5, 1>, tile<V, 5, 2>, tile<V, 5, 3>, tile<V, 5, 4>}, {tile<V, 6, 1>, tile<V, 6, 2>, tile<V, 6, 3>, tile<V, 6, 4>},
};

// The same for any number of vectors: up to four at a time.
template <class V>
CARROUSEL_INLINE void multiply(int M, int N, element<V>* acc, long ld_acc, const element<V>* const* rows, const element<V>* panel,
                               long ld_panel, long K) {
  for (int n = 0; n < N; n += max_vectors) {
    const int some = N - n < max_vectors ? N - n : max_vectors;
    tiles<V>[M - 1][some - 1](acc + n * lanes<V>, ld_acc, rows, panel + n * lanes<V>, ld_panel, K);
  }
}

}  // namespace carrousel::CARROUSEL_TARGET
