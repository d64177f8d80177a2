// One recurrent layer in one direction over a whole sequence, forward and backward. With stream.hpp and own.hpp this is the library's
// interface; it knows no Python and no torch. README.md in kernels/ explains the notation and the memory layout.
//
// Letters: T steps, B rows of the batch, I inputs, H units, P width of the output (H, or the projection's). N = the number of
// (step, row) pairs that x and y have room for: T * B, or those that there are when the sequences are packed or lie end to end.
//
// Every array belongs to the caller, is row-major and contiguous unless a stride stands beside it, and must not overlap an array that
// is written. A pointer said to be optional may be null.
#pragma once
#include <cstdint>

namespace carrousel {

inline constexpr int max_states = 6, max_masks = 4;

// Where the pair (step t, row b) lies among the N rows of x and y, and which pairs there are.
struct Rows {
  int64_t T = 0, B = 0;
  int64_t step_stride = 0, row_stride = 0;  // dense: row = t * step_stride + b * row_stride
  const int64_t* batch_sizes = nullptr;     // packed: [T], non-increasing; step t has rows 0 .. batch_sizes[t] - 1, one after another
  bool reverse = false;                     // steps are taken from the last to the first, from each row's own last
  // Ragged: rows of any lengths in any order, none included. At most one of the two; T is then a bound.
  const int64_t* lengths = nullptr;         // [B] dense memory, of which row b has the steps t < lengths[b]; the rest is not read
  const int64_t* offsets = nullptr;         // [B + 1] row b's steps lie at offsets[b] .. offsets[b + 1] - 1, whatever the strides
  const uint8_t* resets = nullptr;          // [N] not zero: the sequence is parted before this step (Sequence::restored)

  bool ragged() const { return lengths || offsets; }
  int64_t length(int64_t b) const { return lengths ? lengths[b] : offsets ? offsets[b + 1] - offsets[b] : T; }
};

// How the numbers of a random mask are sample_units: `taken` where a uniform number of 32 bits is below the threshold, else `left`.
struct Mask {
  uint32_t threshold = 0;  // 0: nothing is sampled
  double below = 1, otherwise = 1;
};

// The masks of a sequence. Each number is a function of the seed, the mask, the step of the row's own sequence, the row and the unit.
struct RandomMasks {
  uint64_t seed = 0;
  int64_t first_stream = 0;                 // masks with one seed have numbers of their own: the cell's begin here
  const int64_t* rows = nullptr;            // [B] what the caller calls each row   optional: as they stand
  bool has_cell_masks = false;                 // else the cell's masks are those where nothing is sampled
  Mask of_cell[max_masks];                   // the cell's, a fresh one each step
  Mask fed_back;                            // multiplies the h that R multiplies, the same at each step
  Mask of_weights;                          // multiplies R, as it is given: sample_units for its rows and columns
};
inline constexpr int64_t fed_back_stream = 15, of_weights_stream = 13;  // the numbers of the last two after first_stream

template <class F>
struct Sequence {
  Rows rows;
  int64_t I = 0, H = 0, P = 0;
  int threads = 1;
  int heads = 1;  // units in so many groups, each fed back to its own units alone; 1 where h is projected, or panels are brought
  // The first step takes the units from the last to the first. They turn from step to step: what was read last is still in the cache. A
  // stream goes on so over its calls. No bit depends on it.
  bool from_last = false;
  // Matrix products are of operands rounded to bfloat16, added up in float; all else is float as ever. Only with F = float, and both ways.
  bool bfloat16 = false;
  RandomMasks masks;

  const F* x = nullptr;                    // [N, I]
  const F* W = nullptr;                    // [x_rows * H, I]
  const F* R = nullptr;                    // [h_rows * H, P], and H columns for each further state that is fed back; by heads P / heads
  const F* b_x = nullptr;                  // [x_rows * H]     optional
  const F* b_h = nullptr;                  // [h_rows * H]     optional
  const F* per_unit = nullptr;             // [weights * H]    peepholes; null only for cells without
  const F* projection = nullptr;           // [P, H]           optional
  const F* panels = nullptr;               // what Kernel::pack wrote of the six above, which are then not read   optional
  const F* initial[max_states] = {};       // [B, P] for the first state, [B, H] for the others; null means zero
  const F* restored[max_states] = {};      // as initial: the states with which each part after a reset starts

  F* y = nullptr;                          // [N, P], row stride ld_y: the first state at every step
  int64_t ld_y = 0;
  F padding = 0;                           // what y, and what else is shown, holds at the pairs that a ragged batch has not
  F* final[max_states] = {};               // as initial. forward writes it
  // What backward needs; all null when no gradient is wanted. A ragged batch fills them from the start, pair after pair. Without saved or
  // unprojected, backward computes them once more; history must then be there for every state.
  F* saved = nullptr;  // [N, saved_size(cell, H)]  in the kernel's own order
  F* history[max_states] = {};  // [N, H] every state but the first, at every step
  F* unprojected = nullptr;  // [N, H] the first state before the projection; only with one
  // What the caller wants to see. It may then be asked for without a gradient, and lies as y does, in ragged batches too.
  bool histories_shown = false;  // the history of any state may be there, whether backward reads it or not
  // [Kernel::shown], each [N, H]: the gates, and with them all that backward needs of the rows: in place of `saved`, or beside it
  // (Kernel::saves_more).
  F* const* gates = nullptr;
};

template <class F>
struct Gradients {
  const F* dy = nullptr;  // [N, P], row stride ld_dy   optional
  int64_t ld_dy = 0;
  const F* d_final[max_states] = {};  // as Sequence::final         optional
  const F* d_history[max_states] = {};  // as Sequence::history       optional, where histories are shown
  const F* const* d_gates = nullptr;  // as Sequence::gates         optional, and so is each; of values named as a row of the cell
  F* dx = nullptr;  // [N, I]                     optional: not computed when null; so are all the others
  F* d_initial[max_states] = {};  // as Sequence::initial
  F* d_restored[max_states] = {};  // as Sequence::restored: of each row the sum over its resets
  F* dW = nullptr;  // as W
  F* dR = nullptr;  // as R
  F* db_x = nullptr;  // as b_x
  F* db_h = nullptr;  // as b_h
  F* d_per_unit = nullptr;  // as per_unit
  F* d_projection = nullptr;  // as projection
};

// A cell in one precision, compiled for one instruction set.
template <class F>
struct Kernel {
  const char* cell;
  int states, fed, x_rows, h_rows, weights, masks;  // fed: how many states R multiplies, h among them
  bool history[max_states];  // which states backward reads
  int shown;  // how many values of each unit a caller is shown as gates,
  const char* const* shown_names;  // and what they are: "sigmoid i" is row i after its function
  bool saves_more;  // whether `saved` holds other things, and is needed beside `gates`
  int64_t (*saved_size)(int64_t H, int64_t I);  // elements of `saved` for each of the N rows
  int64_t (*panels_size)(const Sequence<F>&);  // elements that pack writes; of Sequence only the sizes are read
  void (*pack)(const Sequence<F>&, F* panels);  // packs the weights for many calls of forward; 64-byte aligned
  void (*forward)(const Sequence<F>&);
  void (*backward)(const Sequence<F>&, const Gradients<F>&);  // `final` of Sequence is not read
};

// The kernel of that name for the instruction set in force, or null.
template <class F>
const Kernel<F>* find(const char* cell);

// A mask at step 0 into values [rows, columns], for the rows of those numbers [rows], or without them 0, 1, ...
template <class F>
void sample_mask(const Mask& mask, uint64_t seed, int64_t stream, int64_t rows, int64_t columns, const int64_t* numbers, F* values);

// "baseline", "avx2", "avx512" or "neon": the best the machine has, or what CARROUSEL_ISA or use_instruction_set() asked for.
const char* instruction_set();
// False, and nothing changes, when the machine or the build does not have it.
bool use_instruction_set(const char* name);
// Those this machine can run, best first; ends with null.
const char* const* instruction_sets();

}  // namespace carrousel
