// The inner loop of every matrix product: rows[M][K] times panel[K][N vectors].
//
// 6 rows x 4 vectors fill the 32 registers of AVX-512 and NEON (24 accumulators, 4 for the panel, 1 broadcast): each loaded vector is
// used six times, each broadcast four times. 3 x 4 fill the 16 of AVX2 (12 accumulators, 3 broadcasts, 1 for the panel). Both reach 98 % of
// the peak on Zen 4. Without AVX2 each product takes a register before it is added: 2 x 4 reach 92 %, 3 x 4 61 %.
//
// Rows are given by pointer, one each, so that one loop serves every layout (padded batch, packed sequences, batch first). Each
// accumulator adds its products in the order of k, whatever M is: a row's result does not depend on the rows beside it, nor on how rows
// are distributed over threads. The sum starts from zero and is added to `start` at the end: a long sum then consists of many short ones
// and loses far less to rounding than one long chain.
//
// Tried and lost: in AVX2, 6 rows x 2 vectors (96 %, in three orders of the loops, and with panels of 2 vectors), and 4 x 3, as fast, whose
// panels would cut the four rows of an LSTM; prefetching the same panel 16 rows ahead (0-3 % slower at H = 256 and 650: the processor
// does that itself; the next panel is another matter, see next_line in gemm.hpp); all blocks of k for 48 rows at a time (no difference,
// H = 256 and 512).
#pragma once
#include <utility>
#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int registers = 32, max_rows = 6;
#elif defined(__AVX2__)
inline constexpr int registers = 16, max_rows = 3;
#else
inline constexpr int registers = 16, max_rows = 2;
#endif
inline constexpr int max_vectors = 4;

template <class T>
struct Factor {  // one product: rows times panel
  const T* const* rows = nullptr;  // each [K], contiguous
  const T* panel = nullptr;  // [K, vectors * lanes], row stride ld_panel
  int64_t ld_panel = 0;
  int64_t K = 0;
  int64_t between = 0;  // from a panel to the next, where several are multiplied side by side
  const T* next = nullptr;  // a line of the first row of the panel that comes next: fetched row by row, one with each term
  const T* scales = nullptr;  // int8 (int8.hpp): of the panel's columns [vectors * lanes]
  const T* const* origins = nullptr;  // and where each row begins, behind its scale
};

// x is in a register from here on: as an operand in memory it would be read once for each row.
template <class V>
CARROUSEL_INLINE void keep_in_register(V& x) {
#if defined(__AVX512F__)
  asm("" : "+v"(x));
#elif defined(__x86_64__)
  asm("" : "+x"(x));
#endif
}

// Asks for the cache line at p, which need not exist, to be in the second-level cache when it is read.
CARROUSEL_INLINE void fetch_soon(const void* p) { __builtin_prefetch(p, 0, 2); }

// Holds the rows' numbers or the panel's vectors in registers, whichever are fewer, and reads the others one by one.
template <class V, int M, int N>
CARROUSEL_INLINE void accumulate(V (&sum)[M][N], const Factor<element<V>>& f) {
  const element<V>* row[M];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) row[m] = f.rows[m];
  const element<V>*panel = f.panel, *next = f.next ? f.next : panel;
  const int64_t K = f.K, ld_panel = f.ld_panel;
  for (int64_t k = 0; k < K; ++k, panel += ld_panel, next += ld_panel) {
    fetch_soon(next);
    V held[M < N ? M : N];
    if constexpr (M < N) {
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) held[m] = set1<V>(row[m][k]);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) {
        V p = load<V>(panel + n * lanes<V>);
        keep_in_register(p);
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) sum[m][n] += held[m] * p;
      }
    } else {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) held[n] = load<V>(panel + n * lanes<V>);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        const V a = set1<V>(row[m][k]);
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) sum[m][n] += a * held[n];
      }
    }
  }
}

// acc = start + sum, with the arrays of the tile.
template <class V, int M, int N>
CARROUSEL_INLINE void put_sums(element<V>* acc, int64_t ld_acc, const element<V>* start, int64_t ld_start, const V (&sum)[M][N]) {
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) store<V>(acc + m * ld_acc + n * lanes<V>, load<V>(start + m * ld_start + n * lanes<V>) + sum[m][n]);
}

// acc [M, N * lanes], row stride ld_acc, becomes start + lead + main. start is like acc, and may be acc; with ld_start = 0 it is one row
// for all (a bias). lead may be empty: it is W x, where that is added in the same pass as R h.
template <class V, int M, int N>
void tile(element<V>* acc, int64_t ld_acc, const element<V>* start, int64_t ld_start, const Factor<element<V>>& lead,
          const Factor<element<V>>& main) {
  V sum[M][N] = {};
  if (lead.K) accumulate(sum, lead);
  accumulate(sum, main);
  put_sums(acc, ld_acc, start, ld_start, sum);
}

// The same for the only row of a batch of one. One row has few sums, so that each addition waits for the one before: the terms go to
// several chains in turn. The result differs from the tile's in its last bits, so that a row alone and the same row in a batch may
// differ. With G > 1 it multiplies G panels side by side, Factor::between apart, with ld_acc between their sums and ld_start between
// their starts: each number of the row is read once for all. The sums are those of the panels one by one.
template <class V, int N, int G = 1>
void one_row_tile(element<V>* acc, int64_t ld_acc, const element<V>* start, int64_t ld_start, const Factor<element<V>>& lead,
                  const Factor<element<V>>& main) {
  constexpr int chains = 8 / N, L = lanes<V>;
  V sum[chains][G][N] = {};
  for (const Factor<element<V>>* f : {&lead, &main}) {
    const element<V>* panel = f->panel;
    const element<V>* row = f->K ? f->rows[0] : nullptr;
    const int64_t K = f->K, ld_panel = f->ld_panel, between = f->between;
    const auto add = [&](V(&to)[G][N], int64_t k) __attribute__((always_inline)) {
      const V a = set1<V>(row[k]);
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g)
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) to[g][n] += a * load<V>(panel + g * between + n * L);
      panel += ld_panel;
    };
    int64_t k = 0;
    for (; k + chains <= K; k += chains)
#pragma GCC unroll 8
      for (int c = 0; c < chains; ++c) add(sum[c], k + c);
    for (; k < K; ++k) add(sum[0], k);
  }
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
#pragma GCC unroll 8
      for (int half = chains / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (int c = 0; c < half; ++c) sum[c][g][n] += sum[c + half][g][n];
      store<V>(acc + g * ld_acc + n * L, load<V>(start + g * ld_start + n * L) + sum[0][g][n]);
    }
}

template <class V>
using Tile = void (*)(element<V>*, int64_t, const element<V>*, int64_t, const Factor<element<V>>&, const Factor<element<V>>&);

// A table of tiles, of(M, N) each: [M - 1][N - 1]; of at most `rows` rows.
template <class V>
struct TileTable {
  Tile<V> tiles[max_rows][max_vectors];
  constexpr const Tile<V>* operator[](int row) const { return tiles[row]; }
};

template <class V, int rows = max_rows, class Of>
constexpr TileTable<V> table_of_tiles(Of of) {
  TileTable<V> table{};
  const auto fill = [&]<int... MN>(std::integer_sequence<int, MN...>) {
    ((table.tiles[MN / max_vectors][MN % max_vectors] = of.template operator()<MN / max_vectors + 1, MN % max_vectors + 1>()), ...);
  };
  fill(std::make_integer_sequence<int, rows * max_vectors>{});
  return table;
}

template <class V>
inline constexpr TileTable<V> tiles = table_of_tiles<V>([]<int M, int N>() -> Tile<V> { return tile<V, M, N>; });

template <class V>
inline constexpr Tile<V> one_row_tiles[max_vectors] = {one_row_tile<V, 1>, one_row_tile<V, 2>, one_row_tile<V, 3>, one_row_tile<V, 4>};

// As many panels side by side as there are registers for their sums.
inline constexpr int max_panels = registers == 32 ? 3 : 1;

template <class V, int N>
CARROUSEL_INLINE Tile<V> one_row_panel_tile(int64_t panels) {
  if constexpr (max_panels == 3) {
    if (panels == 2) return one_row_tile<V, N, 2>;
    if (panels == 3) return one_row_tile<V, N, 3>;
  }
  return one_row_tile<V, N>;
}

}  // namespace carrousel::CARROUSEL_TARGET
