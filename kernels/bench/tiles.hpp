// The inner loops of matrix products, one at a time, in every instruction set. tiles.cpp is compiled once for each and offers them as
// functions of plain arrays.
#pragma once
#include <array>
#include <cstdint>

namespace carrousel::bench {

// Terms of a tile's sums: as many as gemm.hpp gives to a tile at once. Columns of a full panel: at most four vectors of 16 floats.
inline constexpr int terms = 256, most_rows = 6, most_columns = 64;

// What a thread works on; a panel fills the second-level cache as the panels of a layer do.
struct Arrays {
  const float* rows[most_columns];  // [most_columns] rows [terms]
  float* panel;                     // [terms, most_columns], of each of three panels side by side
  float* sums;                      // [most_columns, terms]
};

// Repeats one loop.
using Loop = void (*)(const Arrays&, int64_t times);

// In one instruction set with its widest vectors. Null where there is none.
struct Tiles {
  int lanes;
  bool (*multiplies_bf16)();  // in one instruction
  Loop peak_f32, peak_bf16;   // independent multiplications and additions in registers
  std::array<std::array<Loop, 4>, most_rows> f32;   // [rows - 1][vectors - 1]
  std::array<std::array<Loop, 4>, most_rows> bf16;  // on pairs of bfloat16: terms / 2 pairs
  std::array<std::array<Loop, 4>, 3> one_row;       // [panels side by side - 1][vectors - 1]
  Loop transpose, pack;       // [most_columns, terms] into [terms, most_columns]; and W's columns into the panel of the backward pass
};

// A repetition of a peak loop multiplies and adds so many vectors.
inline constexpr int peak_vectors = 12 * 64;

const Tiles& tiles_of(const char* instruction_set);

}  // namespace carrousel::bench
