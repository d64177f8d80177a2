// One recurrent layer in one direction over a whole sequence, forward and backward. With stream.hpp and custom_cell.hpp this is the
// library's interface; it knows no Python and no torch. kernels/README.md explains the notation and the memory layout;
// examples/lstm.cpp uses it.
//
// Letters: T time steps, B rows of the batch, I inputs, H hidden units, P width of the output (H, or the projection's). N = number of
// (step, row) pairs that x and y hold: T * B, or the existing ones when sequences are packed or lie end to end.
//
// Every array belongs to the caller, is row-major and contiguous unless a stride is given, and must not overlap an array that is
// written. A pointer marked "optional" may be null.
#pragma once
#include <cstdint>

namespace carrousel {

inline constexpr int max_states = 6, max_masks = 4;

// Where the pair (step t, row b) lies among the N rows of x and y, and which pairs exist.
struct Rows {
  int64_t T = 0, B = 0;
  int64_t step_stride = 0, row_stride = 0;  // dense: row = t * step_stride + b * row_stride
  const int64_t* batch_sizes = nullptr;     // packed: [T], non-increasing; step t has rows 0 .. batch_sizes[t] - 1, one after another
  bool reverse = false;                     // steps run from last to first, starting at each row's own last step
  // Ragged: rows of any length (0 included) in any order. At most one of the two is given; T is then an upper bound.
  const int64_t* lengths = nullptr;  // [B] dense memory: row b has the steps t < lengths[b]; the rest is not read
  const int64_t* offsets = nullptr;  // [B + 1] row b's steps lie at offsets[b] .. offsets[b + 1] - 1; strides are ignored
  const uint8_t* resets = nullptr;   // [N] nonzero: the sequence is split before this step (Sequence::restored)

  bool ragged() const { return lengths || offsets; }
  int64_t length(int64_t b) const { return lengths ? lengths[b] : offsets ? offsets[b + 1] - offsets[b] : T; }
};

// The values of a random mask: `below` where a uniform 32-bit number is below the threshold, else `otherwise`.
struct Mask {
  uint32_t threshold = 0;  // 0: no random numbers
  double below = 1, otherwise = 1;
};

// The masks of a sequence. Each value is a function of the seed, the mask, the step of the row's own sequence, the row and the unit.
struct RandomMasks {
  uint64_t seed = 0;
  int64_t first_stream = 0;       // masks with one seed have numbers; the cell's masks begin with this one
  const int64_t* rows = nullptr;  // [B] the number of each row for its masks   optional: 0, 1, ...
  bool has_cell_masks = false;    // else the cell's masks are neutral
  Mask of_cell[max_masks];        // the cell's, a new one at each step
  Mask fed_back;                  // multiplies the h that R multiplies; the same at each step
  Mask of_weights;                // multiplies R in the caller's layout, sampled for its rows and columns
};
inline constexpr int64_t fed_back_stream = 15, of_weights_stream = 13;  // numbers of the last two after first_stream

// How panels hold the weights that x, h and the projection's input are multiplied by. Rounded, a step reads half or a quarter of the
// memory; biases and peepholes stay as they are. int8: each row of a matrix has a scale, and its operand is rounded to 16 bits.
enum class Storage { numbers, bfloat16, int8 };

template <class F>
struct Sequence {
  Rows rows;
  int64_t I = 0, H = 0, P = 0;
  int threads = 1;
  int heads = 1;  // groups of units; each is fed back to its own units only. 1 if h is projected or panels are given
  // The first step computes the units from last to first; the order alternates from step to step, because the weights read last are
  // still in the cache. A stream continues the alternation over its calls. No bit depends on it.
  bool from_last = false;
  // Matrix products of operands rounded to bfloat16, summed in float; everything else stays float. Only with F = float; set it for
  // forward and backward.
  bool bfloat16 = false;
  // Only with F = float, without `bfloat16`, and forward alone. Cells with layer normalisation do not read it.
  Storage storage = Storage::numbers;
  RandomMasks masks;

  const F* x = nullptr;                // [N, I]
  const F* W = nullptr;                // [x_rows * H, I]
  const F* R = nullptr;                // [h_rows * H, P], and H columns for each further state that is fed back; with heads P / heads
  const F* b_x = nullptr;              // [x_rows * H]     optional
  const F* b_h = nullptr;              // [h_rows * H]     optional
  const F* per_unit = nullptr;         // [weights * H]    peepholes; null only for cells without them
  const F* projection = nullptr;       // [P, H]           optional
  const F* panels = nullptr;           // the output of Kernel::pack; the six arrays above are then not read   optional
  const F* initial[max_states] = {};   // [B, P] for the first state, [B, H] for the others; null means zero
  const F* restored[max_states] = {};  // as initial: the states after a reset

  F* y = nullptr;             // [N, P], row stride ld_y: the first state at every step
  int64_t ld_y = 0;
  F padding = 0;              // value of y, and of the other returned arrays, where a ragged batch has no step
  F* final[max_states] = {};  // as initial; forward writes it
  // Saved for backward; all null when no gradient is needed. A ragged batch fills them from the start, pair after pair. Without
  // saved or unprojected, backward recomputes them; history is then needed for every state.
  F* saved = nullptr;           // [N, saved_size(cell, H)]  in the kernel's own order
  F* history[max_states] = {};  // [N, H] every state but the first, at every step
  F* unprojected = nullptr;     // [N, H] the first state before the projection; only with one
  // Returned to the caller; possible without a gradient, and laid out as y, in ragged batches too.
  bool histories_shown = false;  // history may be given for any state, whether backward reads it or not
  // [Kernel::shown], each [N, H]: the gates and whatever else backward needs of the rows, in place of `saved` or, with
  // Kernel::saves_more, beside it.
  F* const* gates = nullptr;
};

template <class F>
struct Gradients {
  const F* dy = nullptr;                // [N, P], row stride ld_dy   optional
  int64_t ld_dy = 0;
  const F* d_final[max_states] = {};    // as Sequence::final         optional
  const F* d_history[max_states] = {};  // as Sequence::history       optional, with histories_shown
  const F* const* d_gates = nullptr;    // as Sequence::gates         optional, and so is each; of values named after a row of the cell
  F* dx = nullptr;                      // [N, I]                     optional, as are all below: null is not computed
  F* d_initial[max_states] = {};        // as Sequence::initial
  F* d_restored[max_states] = {};       // as Sequence::restored: for each row the sum over its resets
  F* dW = nullptr;                      // as W
  F* dR = nullptr;                      // as R
  F* db_x = nullptr;                    // as b_x
  F* db_h = nullptr;                    // as b_h
  F* d_per_unit = nullptr;              // as per_unit
  F* d_projection = nullptr;            // as projection
};

// A cell in one precision, compiled for one instruction set.
template <class F>
struct Kernel {
  const char* cell;
  int states, fed, x_rows, h_rows, weights, masks;            // fed: number of states that R multiplies, h included
  bool history[max_states];                                   // which states backward reads
  int shown;                                                  // number of values of each unit that Sequence::gates receives,
  const char* const* shown_names;                             // and their names: "sigmoid i" is row i after its function
  bool saves_more;                                            // `saved` holds other values than `gates` and is needed beside it
  int64_t (*saved_size)(int64_t H, int64_t I);                // elements of `saved` for each of the N rows
  int64_t (*panels_size)(const Sequence<F>&);                 // elements that pack writes; reads only the sizes in Sequence
  void (*pack)(const Sequence<F>&, F* panels);                // packs the weights for many calls of forward; 64-byte aligned
  void (*forward)(const Sequence<F>&);
  void (*backward)(const Sequence<F>&, const Gradients<F>&);  // does not read Sequence::final
};

// The kernel with this name for the instruction set in force, or null.
template <class F>
const Kernel<F>* find(const char* cell);

// Writes a mask at step 0 to values [rows, columns], for the rows with these numbers [rows]; null: 0, 1, ...
template <class F>
void sample_mask(const Mask& mask, uint64_t seed, int64_t stream, int64_t rows, int64_t columns, const int64_t* numbers, F* values);

// "baseline", "avx2", "avx512" or "neon": the best of this machine, unless CARROUSEL_ISA or use_instruction_set() chose another.
const char* instruction_set();
// False, and nothing changes, if the machine or the build does not have it.
bool use_instruction_set(const char* name);
// Billions of multiplications and additions in float that the instruction set in force can do in a second on so many threads: the best
// of five turns of some milliseconds.
double peak_gflops(int threads);
// The instruction sets that this machine can run, best first; ends with null.
const char* const* instruction_sets();

}  // namespace carrousel
