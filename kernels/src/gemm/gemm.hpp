// Matrix products made of tiles: rows times panel for any number of rows.
#pragma once
#include <algorithm>
#include "gemm/tile.hpp"
#include "gemm/tile_bf16.hpp"

namespace carrousel::CARROUSEL_TARGET {

// Terms of a sum at a time. 256 x 64 floats of a panel are 64 KiB, which stay in a core's own cache while all rows pass; and no chain of
// additions is longer, so that sums over a whole sequence are as exact as torch's.
inline constexpr int64_t k_block = 256;

// Rows [i, i + M) of a factor, terms [k, k + some), vectors from n on; `moved` holds the pointers.
template <class V>
CARROUSEL_INLINE Factor<element<V>> part(const Factor<element<V>>& f, const element<V>** moved, int64_t i, int M, int64_t k, int64_t some,
                                         int n) {
  for (int m = 0; m < M; ++m) moved[m] = f.rows[i + m] + k;
  return {moved, f.panel + k * f.ld_panel + n * lanes<V>, f.ld_panel, some};
}

// What a product's rows and panels hold: numbers, the numbers of the only row of a batch of one, or pairs of bfloat16 (bfloat16.hpp).
enum class Terms { numbers, one_row, pairs };

template <class V>
CARROUSEL_INLINE Tile<V> tile_of(Terms terms, int M, int N) {
  if constexpr (std::is_same_v<element<V>, float>)
    if (terms == Terms::pairs) return pair_tile_of<V>(M, N);
  return terms == Terms::one_row ? one_row_tiles<V>[N - 1] : tiles<V>[M - 1][N - 1];
}

// acc[i] = start[i] + lead_i + main_i for all i < count: a tile's result for any number of rows, vectors and terms. lead is short (it is
// not split into blocks) and has as many rows and vectors as main.
template <class V>
inline void gemm(int N, element<V>* acc, int64_t ld_acc, const element<V>* start, int64_t ld_start, int64_t count,
                 const Factor<element<V>>& main, const Factor<element<V>>& lead = {}, Terms terms = Terms::numbers) {
  using T = element<V>;
  const int64_t pieces = (count + max_rows - 1) / max_rows;
  const T *main_rows[max_rows], *lead_rows[max_rows];
  for (int64_t k = 0; k < main.K; k += k_block) {
    const bool first = k == 0;
    for (int64_t piece = 0; piece < pieces; ++piece) {  // even pieces: 8 rows are 4 + 4, not 6 + 2
      const int64_t i = piece * count / pieces;
      const int M = int((piece + 1) * count / pieces - i);
      for (int n = 0; n < N; n += max_vectors) {
        const int vectors = std::min(N - n, max_vectors);
        const int64_t column = n * lanes<V>;
        T* to = acc + i * ld_acc + column;
        tile_of<V>(terms, M, vectors)(to, ld_acc, first ? start + i * ld_start + column : to, first ? ld_start : ld_acc,
                                      first && lead.K ? part<V>(lead, lead_rows, i, M, 0, lead.K, n) : Factor<T>{},
                                      part<V>(main, main_rows, i, M, k, std::min(k_block, main.K - k), n));
      }
    }
  }
}

}  // namespace carrousel::CARROUSEL_TARGET
