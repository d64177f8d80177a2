// The network of 1997 and its truncated learning rule: one network step by step (Online), and many independent trials over blocks of
// sequences (present). Equation numbers are the paper's. Knows no Python and no torch.
//
// Letters: I inputs, K outputs, C blocks, S cells in a block, H conventional hidden units, U hidden units; Z = what feeds the hidden
// layer (I + U, or I where nothing recurs), M = what feeds the output layer. Every sum is taken in one order, and no product is fused
// with its sum: results are the same bits for every instruction set, any number of trials side by side, and any number of threads.
//
// Weights are one flat array: hidden [U, Z], biases of those hidden units that have one, output [K, M], output biases [K] if any.
// Hidden units stand in the order cells [C*S], input gates [C], output gates [C], conventional [H]; so do their outputs behind the inputs.
#pragma once
#include <cstdint>

namespace carrousel::lstm1997 {

struct Network {
  int I = 1, K = 1, C = 1, S = 1, H = 0;
  bool output_gates = true;
  bool recurrent = true;       // the hidden layer sees itself, one step before
  bool recurrent_cells = true; // false: the weights from the hidden layer into the cells do not learn
  bool shortcuts = false;      // the outputs see the inputs
  bool gates_biased = false, cells_biased = false, hidden_biased = false, outputs_biased = false;
  bool wide_g = true;          // g in [-2, 2]; false: logistic
  bool squash_h = true;        // h in [-1, 1]; false: identity
  bool logistic_output = true; // false: linear

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
  bool each_step = false;  // weights change at each step with a target, not once at the sequence's end
  bool entropy = false;    // f' is left out of the output units' error (19)
};

struct Errors {  // of one sequence, before its update; over the steps with a target
  float largest = 0;    // absolute error of any output
  float at_end = 0;     // the same, of the last step with a target
  float absolute = 0;   // averaged over outputs and steps
  float squared = 0;
};

// Judged after each sequence, or every so many, over the last `window` sequences of the trial, when there are as many.
struct Stop {
  int64_t window = 0;      // 0: never
  float bound = 0;         // of `largest`, or of `at_end`
  int64_t allowed = 0;     // sequences in the window above the bound
  double mean = 0;         // below it must lie the mean of `absolute` or `squared`; infinity: any
  bool squared = false, at_end = false;
  int64_t every = 1;       // sequences of the trial between two judgements
};

struct Trial {
  Block block;
  float* weights = nullptr;    // [weight_count], changed if the rule learns
  Errors* errors = nullptr;    // [block.count]; written for the sequences that are presented
  float* outputs = nullptr;    // [rows of targets, K]   optional; rows without target are left alone
  Errors* recent = nullptr;    // [ring]: the errors of sequence n lie at n % ring. Needed with Stop::window, which is at most ring
  int64_t ring = 0;
  int64_t presented = 0;       // sequences before this block; counted on
  bool stopped = false;        // set when the criterion is met; after that nothing is presented
  int64_t above = 0, sum = 0;  // of the window; the library's own
};

// Present each trial's block, its sequences in order. Trials do not see each other.
void present(const Network& network, const Rule& rule, const Stop& stop, Trial* trials, int64_t count, int threads);

// One network that lives on: activations, states and their derivatives stay between calls until reset().
template <class F>
class Online {
 public:
  virtual ~Online() = default;
  virtual void reset() = 0;  // activations, states and derivatives to zero; errors that wait are applied
  virtual void load(const F* weights) = 0;
  virtual void save(F* weights) const = 0;
  // One step. y [K] is what the network says before it learns; target [K] may be null.
  virtual void learn(const Rule& rule, const F* x, int32_t symbol, const F* target, F* y) = 0;
  // What y would be at x, with nothing changed.
  virtual void predict(const F* x, int32_t symbol, F* y) = 0;
  virtual int64_t memory_size() const = 0;      // numbers that live on between steps, beside the weights
  virtual void read_memory(F* to) const = 0;
  virtual void write_memory(const F* from) = 0;
  virtual void state(F* s, F* y) const = 0;     // s [C*S], y of the hidden units [U]
};

template <class F>
Online<F>* make_online(const Network& network);  // the caller deletes it

}  // namespace carrousel::lstm1997
