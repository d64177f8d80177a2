// The network of 1997 and its truncated learning rule: one network step by step (Online), and many independent trials over blocks of
// sequences (present). Equation numbers are the paper's. Knows no Python and no torch.
//
// Letters: I inputs, K outputs, C blocks, S cells in a block, H conventional hidden units, U hidden units; Z = number of inputs of the
// hidden layer (I + U, or I without recurrence), M = number of inputs of the output layer. Every sum has one order, and no product is
// fused with its sum: results are the same bits for every instruction set, any number of trials side by side, and any number of
// threads.
//
// Weights are one flat array: hidden [U, Z], biases of those hidden units that have one, output [K, M], output biases [K] if any. The
// order of hidden units is cells [C*S], input gates [C], output gates [C], conventional [H]; so is the order of their outputs behind
// the inputs.
#pragma once
#include <cstdint>

namespace carrousel::lstm1997 {

struct Network {
  int I = 1, K = 1, C = 1, S = 1, H = 0;
  bool output_gates = true;
  bool recurrent = true;        // the hidden layer reads its own outputs of the step before
  bool recurrent_cells = true;  // false: the weights from the hidden layer into the cells do not learn
  bool shortcuts = false;       // the output layer reads the inputs too
  bool gates_biased = false, cells_biased = false, hidden_biased = false, outputs_biased = false;
  bool wide_g = true;           // g in [-2, 2]; false: logistic
  bool squash_h = true;         // h in [-1, 1]; false: identity
  bool logistic_output = true;  // false: linear

  int cells() const { return C * S; }
  int units() const { return C * S + C * (1 + output_gates) + H; }
  int Z() const { return I + (recurrent ? units() : 0); }
  int M() const { return C * S + H + (shortcuts ? I : 0); }
  bool biased(int unit) const { return unit < cells() ? cells_biased : unit < units() - H ? gates_biased : hidden_biased; }
  int64_t weight_count() const {
    const int64_t biases = int64_t(cells_biased) * cells() + int64_t(gates_biased) * (units() - H - cells()) + int64_t(hidden_biased) * H;
    return int64_t(units()) * Z() + biases + int64_t(K) * M() + (outputs_biased ? K : 0);
  }
};

// The sequences of one trial, one after another. One of x and symbols is null, and one of targets and classes.
struct Block {
  int64_t count = 0;
  const int32_t* lengths = nullptr;  // [count]
  const float* x = nullptr;          // [steps, I]
  const int32_t* symbols = nullptr;  // [steps]   which input is on; -1: none
  const float* targets = nullptr;    // [count or steps, K]   a row that begins with NaN is no target (not at_end)
  const int32_t* classes = nullptr;  // [count or steps]      which target is 1, the others 0; -1: no target (not at_end)
  bool at_end = true;                // one row of targets for each sequence, for its last step
};

struct Rule {
  double rate = 0;         // alpha
  bool learn = true;
  bool each_step = false;  // weights change at each step with a target, not once at the end of the sequence
  bool entropy = false;    // without f' in the error signal of the output units (19)
};

struct Errors {  // of one sequence, before its update; over the steps with a target
  float largest = 0;   // absolute error of any output
  float at_end = 0;    // the same at the last step with a target
  float absolute = 0;  // mean over outputs and steps
  float squared = 0;
};

// The stopping criterion: after every `every` sequences, over the last `window` sequences of the trial once there are that many.
struct Stop {
  int64_t window = 0;   // 0: never
  float bound = 0;      // of `largest`, or of `at_end`
  int64_t allowed = 0;  // sequences in the window that may exceed the bound
  double mean = 0;      // the mean of `absolute` or `squared` must be below it; infinity: any
  bool squared = false, at_end = false;
  int64_t every = 1;    // sequences between two tests of the criterion
};

struct Trial {
  Block block;
  float* weights = nullptr;    // [weight_count], changed if the rule learns
  Errors* errors = nullptr;    // [block.count]   written for the sequences that are presented
  float* outputs = nullptr;    // [rows of targets, K]   optional; rows without a target are not written
  Errors* recent = nullptr;    // [ring]: the errors of sequence n, at n % ring. Needed with Stop::window, which is at most ring
  int64_t ring = 0;
  int64_t presented = 0;       // sequences before this block; updated
  bool stopped = false;        // set when the criterion is met; nothing is presented after that
  int64_t above = 0, sum = 0;  // of the window; internal
};

// Presents each trial's block, its sequences in order. Trials are independent.
void present(const Network& network, const Rule& rule, const Stop& stop, Trial* trials, int64_t count, int threads);

// One network on an endless stream: activations, states and their derivatives persist between calls until reset().
template <class F>
class Online {
 public:
  virtual ~Online() = default;
  virtual void reset() = 0;  // activations, states and derivatives to zero; pending weight changes are applied first
  virtual void load(const F* weights) = 0;
  virtual void save(F* weights) const = 0;
  // One step. y [K] is the output before learning; target [K] may be null.
  virtual void learn(const Rule& rule, const F* x, int32_t symbol, const F* target, F* y) = 0;
  // The output y at x; the network does not change.
  virtual void predict(const F* x, int32_t symbol, F* y) = 0;
  virtual int64_t memory_size() const = 0;  // numbers that persist between steps, besides the weights
  virtual void read_memory(F* to) const = 0;
  virtual void write_memory(const F* from) = 0;
  virtual void state(F* s, F* y) const = 0;  // s [C*S], y of the hidden units [U]
};

template <class F>
Online<F>* make_online(const Network& network);  // the caller deletes it

}  // namespace carrousel::lstm1997
