// How a cell's rows lie in vectors. A *block* is one vector's worth of units. A *group* is as many blocks as fill the tile's four
// accumulators with all rows of the cell: one block for four rows (i f g o side by side), four for the single row of an Elman cell.
// Inside a group the vectors go row by row, and within a row block by block.
#pragma once
#include <algorithm>
#include "carrousel/sequence.hpp"
#include "gemm/tile.hpp"
#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
struct RowBlocks {
  static constexpr int L = lanes<V>;
  static constexpr int blocks_in_group = Cell::rows >= max_vectors ? 1 : max_vectors / Cell::rows;

  int64_t H;
  int64_t blocks, groups, padded;  // padded: H rounded up to whole vectors

  explicit RowBlocks(int64_t H)
      : H(H), blocks((H + L - 1) / L), groups((blocks + blocks_in_group - 1) / blocks_in_group), padded(blocks * L) {}

  int blocks_of(int64_t group) const { return int(std::min<int64_t>(blocks_in_group, blocks - group * blocks_in_group)); }
  int64_t first_block(int64_t group) const { return group * blocks_in_group; }
  int lanes_of(int64_t block) const { return int(std::min<int64_t>(L, H - block * L)); }  // of which exist

  int64_t saved_size() const { return Cell::saved * padded; }
  // Where the saved values of a block start, and the step from one to the next, inside the saved_size() elements of a row.
  int64_t saved_at(int64_t block) const {
    const int64_t group = block / blocks_in_group;
    return (first_block(group) * Cell::saved + (block - first_block(group))) * L;
  }
  int64_t saved_stride(int64_t block) const { return int64_t(blocks_of(block / blocks_in_group)) * L; }
};

// The columns of R: those of h, and those of each further state that is fed back.
template <class Cell, class F>
constexpr int64_t columns_of_R(const Sequence<F>& q) {
  return q.P + (Cell::fed - 1) * q.H;
}

}  // namespace carrousel::CARROUSEL_TARGET
