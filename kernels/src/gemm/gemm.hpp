// Matrix products made of tiles: rows times panel for any number of rows.
#pragma once
#include <algorithm>
#include "gemm/tile.hpp"
#include "gemm/tile_bf16.hpp"
#include "gemm/tile_weights.hpp"

namespace carrousel::CARROUSEL_TARGET {

// Terms of a sum at a time. A block of a panel stays in a core's own cache while all rows pass: 256 x 64 floats are 64 KiB, in the second
// level; 128 x 32 of AVX2, whose tiles read it twice as often, 16 KiB, in the first (2 to 7 % faster than 256). And no chain of additions is
// longer, so that sums over a whole sequence are as exact as torch's.
inline constexpr int64_t k_block = registers == 32 ? 256 : 128;

// What a product's rows and panels hold: numbers, the numbers of the only row of a batch of one, or pairs of bfloat16 (bfloat16.hpp); or
// numbers and rounded weights (tile_weights.hpp).
enum class Terms { numbers, one_row, pairs, bfloat16_weights, int8_weights };

// Elements of a row for one term; and terms at a time.
constexpr int64_t elements_in(Terms terms) { return terms < Terms::bfloat16_weights ? 1 : 2; }
constexpr int64_t block_of(Terms terms) { return terms == Terms::int8_weights ? quads_at_once : k_block; }

// Rows [i, i + M) of a factor, terms [k, k + some), vectors from n on; `moved` holds the pointers.
template <class V>
CARROUSEL_INLINE Factor<element<V>> part(const Factor<element<V>>& f, const element<V>** moved, int64_t i, int M, int64_t k, int64_t some,
                                         int n, Terms terms) {
  for (int m = 0; m < M; ++m) moved[m] = f.rows[i + m] + k * elements_in(terms);
  return {.rows = moved,
          .panel = f.panel + k * f.ld_panel + n * lanes<V>,
          .ld_panel = f.ld_panel,
          .K = some,
          .scales = f.scales + n * lanes<V>,
          .origins = f.rows + i};
}

// What a tile fetches for the block that comes after this one: each piece of rows one line of every row, as long as there are lines. The
// block lies behind this one, as panels do that were packed one after another; or, after the last rows of a matrix, beside it. It saves a
// tenth where weights come from beyond a core's own cache (H = 1500), a third on two threads.
template <class V>
CARROUSEL_INLINE const element<V>* next_line(const Factor<element<V>>& main, const element<V>* panel, int64_t k, int64_t some, int n, int N,
                                             int64_t piece) {
  constexpr int64_t line = 64 / sizeof(element<V>);
  if (piece >= std::min(N, max_vectors) * lanes<V> / line) return nullptr;
  const bool behind = k + some < main.K || main.ld_panel == N * lanes<V>;
  return (behind ? panel + some * main.ld_panel : main.panel + n * lanes<V>)+piece * line;
}

template <class V>
CARROUSEL_INLINE Tile<V> tile_of(Terms terms, int M, int N) {
  if constexpr (std::is_same_v<element<V>, float>) {
    if (terms == Terms::pairs) return pair_tile_of<V>(M, N);
    if (terms >= Terms::bfloat16_weights) return weight_tile_of<V>(terms == Terms::int8_weights, M, N);
  }
  return terms == Terms::one_row ? one_row_tiles<V>[N - 1] : tiles<V>[M - 1][N - 1];
}

// Rows of a tile at most.
constexpr int max_rows_of(Terms terms) {
  return terms >= Terms::bfloat16_weights ? max_weight_rows : terms == Terms::pairs ? max_pair_rows : max_rows;
}

// acc[i] = start[i] + lead_i + main_i for all i < count: a tile's result for any number of rows, vectors and terms. lead is short (it is
// not split into blocks) and has as many rows and vectors as main.
template <class V>
inline void gemm(int N, element<V>* acc, int64_t ld_acc, const element<V>* start, int64_t ld_start, int64_t count,
                 const Factor<element<V>>& main, const Factor<element<V>>& lead = {}, Terms terms = Terms::numbers) {
  using T = element<V>;
  const int most = max_rows_of(terms);
  const int64_t pieces = (count + most - 1) / most;
  const T *main_rows[max_rows], *lead_rows[max_rows];
  for (int64_t k = 0, at_once = block_of(terms); k < main.K; k += at_once) {
    const bool first = k == 0;
    const int64_t some = std::min(at_once, main.K - k);
    for (int64_t piece = 0; piece < pieces; ++piece) {  // even pieces: 8 rows of tiles of 6 are 4 + 4, not 6 + 2
      const int64_t i = piece * count / pieces;
      const int M = int((piece + 1) * count / pieces - i);
      for (int n = 0; n < N; n += max_vectors) {
        const int vectors = std::min(N - n, max_vectors);
        const int64_t column = n * lanes<V>;
        T* to = acc + i * ld_acc + column;
        Factor<T> block = part<V>(main, main_rows, i, M, k, some, n, terms);
        block.next = next_line<V>(main, block.panel, k, some, n + vectors, N, piece);
        tile_of<V>(terms, M, vectors)(to, ld_acc, first ? start + i * ld_start + column : to, first ? ld_start : ld_acc,
                                      first && lead.K ? part<V>(lead, lead_rows, i, M, 0, lead.K, n, terms) : Factor<T>{}, block);
      }
    }
  }
}

}  // namespace carrousel::CARROUSEL_TARGET
