// The templates of src/ in every instruction set. parts.cpp is compiled once for each, as src/target.cpp is, and offers them as
// functions of plain arrays; the tests are compiled once, for any machine, and call those that it can run.
#pragma once
#include <cstdint>

namespace carrousel::test {

// acc = start + lead + main, as src/gemm/gemm.hpp says. Widths in vectors, strides in elements.
template <class F>
struct Product {
  int vectors;
  F* acc;
  int64_t ld_acc;
  const F* start;
  int64_t ld_start, count;
  const F* const* rows;
  const F* panel;
  int64_t ld_panel, K;
  const F* const* lead_rows;
  const F* lead_panel;
  int64_t ld_lead, lead_K;
};

// How the weights of a cell are laid out in vectors, and the functions that do it.
template <class F>
struct Packing {
  const char* cell;
  int rows, x_first, x_rows, h_first, h_rows, saved, blocks_in_group;
  const int *x_order, *h_order;
  void (*matrix)(F* panels, const F* M, int64_t K, bool by_x, int64_t H);  // W or R: all groups, one after another
  void (*bias)(F* out, const F* b_x, const F* b_h, int64_t H);             // all groups
  void (*columns)(F* panel, int64_t width, const F* M, int64_t ld, int64_t columns, bool by_x, int64_t H, int64_t padded, int64_t first);
  int64_t (*saved_size)(int64_t H);
  int64_t (*saved_place)(int64_t H, int64_t block, int k);                           // of the k-th saved vector
};

// In one instruction set, with vectors of one width.
template <class F>
struct Parts {
  int lanes, tile_rows;  // the most rows of a tile
  using Function = void (*)(F* out, const F* in, int64_t n);
  Function exp, sigmoid, tanh, relu, step_of;
  Function expm1, log, log1p, softplus, sqrt, abs, sign;
  using Function2 = void (*)(F* out, const F* x, const F* z, int64_t n);
  Function2 maximum, minimum, less, less_equal, equal;
  void (*select)(F* out, const F* mask, const F* x, const F* z, int64_t n);
  void (*tile)(const Product<F>&);          // count up to tile_rows, vectors up to 4
  void (*one_row_tile)(const Product<F>&);  // count 1
  void (*product)(const Product<F>&, bool one_row);
  // Pairs of bfloat16; null for double.
  void (*round_row)(F* to, const F* row, int64_t n);
  void (*pair_tile)(const Product<F>&);          // as tile
  bool (*machine_has_pairs)();                   // whether the machine has an instruction for vectors of this width
  void (*machine_pair_tile)(const Product<F>&);  // with that instruction
  void (*transpose)(F* out, int64_t ld_out, const F* const* rows, int64_t count, int64_t columns);
  void (*pack_rows)(F* out, const F* in, int64_t count, int64_t width, int64_t padded);
  Packing<F> packings[3];                                                  // cells of one, three and four rows
};

// One for each width of vector; the last has no lanes. Plain arrays, so that the linker finds nothing of one instruction set to use
// for another.
template <class F>
const Parts<F>* parts_of(const char* instruction_set);

struct AllParts {
  const Parts<float>* f32;
  const Parts<double>* f64;
};

}  // namespace carrousel::test
