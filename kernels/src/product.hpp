// Matrix products from the tile: packing, and rows times panel for any number of rows.
#pragma once
#include <algorithm>
#include "tile.hpp"

namespace carrousel::CARROUSEL_TARGET {

// Terms of a sum at a time. 256 x 64 floats of a panel are 64 KiB, which stay in a core's own cache while all rows pass; and no chain
// of additions is longer, which keeps sums over a whole sequence as exact as torch's.
inline constexpr long k_block = 256;

// acc[i] += rows[i] * panel for all i < count. 
// acc [count, N * lanes] row stride ld_acc, rows[i] [K], panel [K, N * lanes] row stride ld_panel.
template <class V>
inline void product(int N, element<V>* acc, long ld_acc, const element<V>* const* rows, long count, const element<V>* panel,
                    long ld_panel, long K) {
  const long pieces = (count + max_rows - 1) / max_rows;
  for (long k = 0; k < K; k += k_block) {
    const long some = std::min(k_block, K - k);
    for (long piece = 0; piece < pieces; ++piece) {  // even pieces: 8 rows are 4 + 4, not 6 + 2
      const long i = piece * count / pieces;
      const int M = int((piece + 1) * count / pieces - i);
      const element<V>* from[max_rows];
      for (int m = 0; m < M; ++m) from[m] = rows[i + m] + k;
      multiply<V>(M, N, acc + i * ld_acc, ld_acc, from, panel + k * ld_panel, ld_panel, some);
    }
  }
}

}  // namespace carrousel::CARROUSEL_TARGET
