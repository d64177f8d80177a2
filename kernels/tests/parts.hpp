// The templates of src/ in every instruction set. parts.cpp is compiled once for each, as src/target.cpp is, and offers them as
// functions of plain arrays; the tests are compiled once, for any machine, and call those that it can run.
#pragma once

namespace carrousel::test {

// acc = start + lead + main, as src/gemm/gemm.hpp says. Widths in vectors, strides in elements.
template <class F>
struct Product {
  int vectors;
  F* acc;
  long ld_acc;
  const F* start;
  long ld_start, count;
  const F* const* rows;
  const F* panel;
  long ld_panel, K;
  const F* const* lead_rows;
  const F* lead_panel;
  long ld_lead, lead_K;
};

// How the weights of a cell are laid out in vectors, and the functions that do it.
template <class F>
struct Packing {
  const char* cell;
  int rows, x_first, x_rows, h_first, h_rows, saved, blocks_in_group;
  const int *x_order, *h_order;
  void (*matrix)(F* panels, const F* M, long K, bool by_x, long H);  // W or R: all groups, one after another
  void (*bias)(F* out, const F* b_x, const F* b_h, long H);          // all groups
  void (*columns)(F* panel, long width, const F* M, long ld, long columns, bool by_x, long H, long padded, long first);
  long (*saved_size)(long H);
  long (*saved_place)(long H, long block, int k);                           // of the k-th saved vector
};

// In one instruction set, with vectors of one width.
template <class F>
struct Parts {
  int lanes;
  using Function = void (*)(F* out, const F* in, long n);
  Function exp, sigmoid, tanh, relu, step_of;
  Function expm1, log, log1p, softplus, sqrt, abs, sign;
  using Function2 = void (*)(F* out, const F* x, const F* z, long n);
  Function2 maximum, minimum, less, less_equal, equal;
  void (*select)(F* out, const F* mask, const F* x, const F* z, long n);
  void (*tile)(const Product<F>&);          // count up to 6, vectors up to 4
  void (*one_row_tile)(const Product<F>&);  // count 1
  void (*product)(const Product<F>&, bool one_row);
  // Pairs of bfloat16; null for double.
  void (*round_row)(F* to, const F* row, long n);
  void (*pair_tile)(const Product<F>&);          // as tile
  bool (*machine_has_pairs)();                   // whether the machine has an instruction for vectors of this width
  void (*machine_pair_tile)(const Product<F>&);  // with that instruction
  void (*transpose)(F* out, long ld_out, const F* const* rows, long count, long columns);
  void (*pack_rows)(F* out, const F* in, long count, long width, long padded);
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
