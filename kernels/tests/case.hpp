// A sequence to run: a cell, sizes, a layout and random values. The kernels (run.hpp) and the plain loops (reference.hpp) take the
// same one. Letters as in carrousel/sequence.hpp.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "carrousel/sequence.hpp"

namespace carrousel::test {

enum Input { X, W, R, B_X, B_H, PER_UNIT, PROJECTION, INITIAL, inputs = INITIAL + max_states };  // INITIAL + k: state k
enum Output { Y, FINAL, outputs = FINAL + max_states };                                         // FINAL + k: state k
std::string name_of_input(int input);
std::string name_of_output(int output);

struct Cell {
  const char* name;
  int rows, x_rows, h_rows, states, weights;
  bool reads_h;  // in the pointwise step, not only through R: h then needs H elements, and there is no projection
};

struct Size {
  int64_t T, B, I, H;
};

struct Way {
  const char* name;
  bool batch_first = false, packed = false, reverse = false;
};
inline constexpr Way ways[] = {{"dense"},
                               {"dense_reverse", false, false, true},
                               {"batch_first", true, false, false},
                               {"batch_first_reverse", true, false, true},
                               {"packed", false, true, false},
                               {"packed_reverse", false, true, true}};

struct Options {
  bool projected = false;
  bool bias = true;     // else b_x and b_h are null
  bool initial = true;  // else the initial states are null
};

struct Case {
  Cell cell;
  Size size;
  Way way;
  Options options;
  int64_t P;
  std::vector<int64_t> batch_sizes;                     // rows that have step t; a dense sequence has B at each
  std::array<std::vector<double>, inputs> values;       // exact in float too; zeros where the kernel is given null
  std::array<std::vector<double>, inputs> directions;   // in which the plain loops measure the slope of the loss
  std::array<std::vector<double>, outputs> d_outputs;   // the loss is the sum of d_outputs * outputs

  Case(const Cell& cell, Size size, Way way = ways[0], Options options = {});
  int64_t N() const;
  int64_t at(int64_t t, int64_t b) const;  // the row of x and y that holds step t of row b
  bool absent(int input) const;
  int64_t size_of_input(int input) const;
  int64_t size_of_output(int output) const;
  std::string name() const;
};

}  // namespace carrousel::test
