// Weights in the order in which the tiles read them: panels of a few vectors, all k of a panel one after another. Done once per call.
// Units beyond H are zero: whole vectors are computed everywhere, and only loads and stores of the caller's memory handle the tail.
#pragma once
#include "carrousel/sequence.hpp"
#include "gemm/operands.hpp"
#include "gemm/row_blocks.hpp"
#include "gemm/transpose.hpp"

namespace carrousel::CARROUSEL_TARGET {

// With memory="low", weights larger than this many bytes are packed one panel at a time, when a chunk needs the panel.
inline constexpr double low_memory_bytes = 2e6;

// Forward: for each group, panel[k][row][block][lane] = M[block of that row * H + unit][k]. M [rows * H, K]; order[r] is the block of M
// that feeds row r. k counts pairs or quads where weights are rounded; scratch holds a vector's worth of rows. scales[row][block][lane].
template <class Cell, class V, class T>
void pack_group(T* panel, const T* M, int64_t K, const int* order, int rows, const RowBlocks<Cell, V>& shape, int64_t group,
                const Operands<V>& operands = {}, T* scratch = nullptr, T* scales = nullptr) {
  constexpr int L = lanes<V>;
  const int blocks = shape.blocks_of(group);
  const int64_t width = int64_t(rows) * blocks * L;
  for (int r = 0; r < rows; ++r)
    for (int u = 0; u < blocks; ++u) {
      const int64_t block = shape.first_block(group) + u;
      const T* units[L] = {};
      const int n = shape.lanes_of(block);
      for (int lane = 0; lane < n; ++lane) units[lane] = M + (order[r] * shape.H + block * L + lane) * K;
      T* of_block = scales + (int64_t(r) * blocks + u) * L;
      if (operands.scaled()) std::fill(of_block, of_block + L, T(0));
      operands.round_weights(units, n, scratch, K, of_block);
      transpose_strip<V>(panel + (int64_t(r) * blocks + u) * L, width, units, n, operands.count(K), true);
    }
}

// Backward: for the vectors of columns [c0, c0 + width), panel[row * padded + unit][lane] = M[block of that row * H + unit][c0 + lane]. M
// [rows * H, ld], zero from column `columns` on; rows are padded one after another, as the rows of da are.
template <class T>
void pack_columns(T* panel, int64_t width, const T* M, int64_t ld, int64_t columns, const int* order, int rows, int64_t H, int64_t padded,
                  int64_t c0) {
  const int64_t real = std::min(width, columns - c0);
  for (int r = 0; r < rows; ++r)
    for (int64_t unit = 0; unit < padded; ++unit, panel += width) {
      const int64_t there = unit < H ? real : 0;
      if (there) std::memcpy(panel, M + (order[r] * H + unit) * ld + c0, there * sizeof(T));
      std::fill(panel + there, panel + width, T(0));
    }
}

// The same for operands: where they are pairs, each of the panel's rows holds two units of `padded`, or the last one and zero.
template <class V, class T>
void pack_columns(const Operands<V>& operands, T* panel, int64_t width, const T* M, int64_t ld, int64_t columns, const int* order, int rows,
                  int64_t H, int64_t padded, int64_t c0) {
  if (!operands.rounded()) return pack_columns(panel, width, M, ld, columns, order, rows, H, padded, c0);
  if constexpr (std::is_same_v<T, float>) {
    constexpr int L = lanes<V>;
    const auto part = [&](int r, int64_t unit, int64_t c) {
      const int n = int(std::min<int64_t>(L, columns - c0 - c));
      return unit < H && n > 0 ? load_n<V>(M + (order[r] * H + unit) * ld + c0 + c, n) : V{};
    };
    for (int r = 0; r < rows; ++r)
      for (int64_t unit = 0; unit < padded; unit += 2, panel += width)
        for (int64_t c = 0; c < width; c += L) store<V>(panel + c, pair(part(r, unit, c), part(r, unit + 1, c)));
  }
}

// One bias per row: the sum of torch's two where both x and h feed it. out[row][block][lane] of a group.
template <class Cell, class V, class T>
void pack_bias(T* out, const T* b_x, const T* b_h, const RowBlocks<Cell, V>& shape, int64_t group) {
  constexpr int L = lanes<V>;
  const int blocks = shape.blocks_of(group);
  const int64_t unit0 = shape.first_block(group) * L;
  for (int r = 0; r < Cell::rows; ++r)
    for (int64_t u = 0; u < int64_t(blocks) * L; ++u) {
      T sum = 0;
      const int x = r - Cell::x_first, h = r - Cell::h_first;
      if (unit0 + u < shape.H) {
        if (b_x && x >= 0 && x < Cell::x_rows) sum += b_x[Cell::x_order[x] * shape.H + unit0 + u];
        if (b_h && h >= 0 && h < Cell::h_rows) sum += b_h[Cell::h_order[h] * shape.H + unit0 + u];
      }
      out[int64_t(r) * blocks * L + u] = sum;
    }
}

// rows [count, width], each padded with zeros to `padded`.
template <class T>
void pack_rows(T* out, const T* in, int64_t count, int64_t width, int64_t padded) {
  for (int64_t r = 0; r < count; ++r)
    for (int64_t u = 0; u < padded; ++u) out[r * padded + u] = u < width ? in[r * width + u] : T(0);
}

}  // namespace carrousel::CARROUSEL_TARGET
