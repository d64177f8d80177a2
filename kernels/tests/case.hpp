// A sequence to run: a cell, sizes, a layout and random values, for the kernels (run.hpp) and for the plain loops (reference.hpp).
// Letters as in carrousel/sequence.hpp.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "carrousel/sequence.hpp"

namespace carrousel::test {

inline constexpr int max_saved = 8;

// INITIAL + k, RESTORED + k, FINAL + k, HISTORY + k: state k; SAVED + k: the k-th value that backward needs of the rows
enum Input { X, W, R, B_X, B_H, PER_UNIT, PROJECTION, INITIAL, RESTORED = INITIAL + max_states, inputs = RESTORED + max_states };
enum Output { Y, FINAL, HISTORY = FINAL + max_states, SAVED = HISTORY + max_states, outputs = SAVED + max_saved };
std::string name_of_input(int input);
std::string name_of_output(int output);

struct Cell {
  const char* name;
  int rows, x_rows, h_rows, states, weights;
  bool reads_h;  // in the pointwise step, not only through R: h then needs H elements, and there is no projection
  int shown;
  const char* const* shown_names;
};

struct Size {
  int64_t T, B, I, H;
};

struct Way {
  const char* name;
  bool batch_first = false, packed = false, reverse = false;
  bool lengths = false, offsets = false;  // rows of different lengths (0 included), in any order
  bool resets = false;                    // sequences are split here and there
  bool shown = false;                     // the states and gates of every step are outputs too
};
inline constexpr Way ways[] = {{"dense"},
                               {"dense_reverse", false, false, true},
                               {"batch_first", true, false, false},
                               {"batch_first_reverse", true, false, true},
                               {"packed", false, true, false},
                               {"packed_reverse", false, true, true}};

// Further ways.
inline constexpr Way ragged_ways[] = {
    {.name = "lengths", .lengths = true},
    {.name = "lengths_batch_first_reverse_shown", .batch_first = true, .reverse = true, .lengths = true, .shown = true},
    {.name = "lengths_resets_shown", .lengths = true, .resets = true, .shown = true},
    {.name = "offsets_shown", .offsets = true, .shown = true},
    {.name = "offsets_reverse_resets", .reverse = true, .offsets = true, .resets = true},
    {.name = "resets_shown", .resets = true, .shown = true},
    {.name = "batch_first_reverse_resets", .batch_first = true, .reverse = true, .resets = true},
    {.name = "packed_reverse_resets_shown", .packed = true, .reverse = true, .resets = true, .shown = true},
};

struct Options {
  bool projected = false;
  bool bias = true;     // else b_x and b_h are null
  bool initial = true;  // else the initial states are null
  int heads = 1;        // of h; R connects each to itself only; 1 if projected
};

struct Case {
  Cell cell;
  Size size;
  Way way;
  Options options;
  int64_t P;
  std::vector<int64_t> batch_sizes;                    // rows that have step t; a sequence that is not packed has B at each
  std::vector<int64_t> lengths, offsets;               // [B] and [B + 1]; empty where rows have all steps
  std::vector<uint8_t> resets;                         // [N], or empty
  double padding = 0.5;                                // of outputs where there is no step
  std::array<std::vector<double>, inputs> values;      // exact in float too; zeros where the kernel is given null
  std::array<std::vector<double>, inputs> directions;  // the plain loops measure the slope of the loss along these
  std::array<std::vector<double>, outputs> d_outputs;  // the loss is the sum of d_outputs * outputs

  Case(const Cell& cell, Size size, Way way = ways[0], Options options = {});
  int64_t N() const;
  int64_t width_of_R() const;
  int64_t at(int64_t t, int64_t b) const;     // the row of x and y that holds step t of row b
  int64_t length(int64_t b) const;
  bool restarts(int64_t t, int64_t b) const;  // the states before the step, in the order of the way, are restored
  std::vector<bool> there() const;            // [N] whether a row of x and y holds a step
  bool is_gate(int k) const;                  // the k-th value that is saved: a row after its function, which has a gradient
  bool absent(int input) const;
  int64_t size_of_input(int input) const;
  int64_t size_of_output(int output) const;
  std::string name() const;
};

}  // namespace carrousel::test
