// Layers upon layers that run on and on, a step or a block of steps at a call: weights packed once, states changed where they lie.
// Letters as in sequence.hpp; L layers.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "carrousel/sequence.hpp"

namespace carrousel {

// What weights were made of, where they were made: it is not read, but watched.
template <class F>
struct Source {
  const F* numbers;
  int64_t count;
};

// The packed weights of a stack. It does not change: many streams on many threads may share one.
template <class F>
class Stack {
 public:
  // Of each layer only the sizes and the weights are read, which must stay where they are as long as this lives, and so the sources.
  // Throws std::invalid_argument without a kernel for the cell.
  Stack(const char* cell, std::vector<Sequence<F>> layers, const std::vector<Source<F>>& sources = {});
  Stack(const Stack&) = delete;

  const Kernel<F>& kernel() const { return kernel_; }
  const std::vector<Sequence<F>>& layers() const { return layers_; }
  double operations() const { return operations_; }  // of a step of one row

  // Whether the instruction set is that of the packing, and weights and sources hold what was packed. The weights come in as many parts
  // as keep 1 KiB in each, at most 1024; every part has something of all of them. `count` parts are looked at, beginning with `first`.
  bool holds(int64_t first, int64_t count) const;

 private:
  struct Watched {
    const char* now;
    std::unique_ptr<char[]> packed;
    int64_t bytes;
  };

  const Kernel<F>& kernel_;
  const char* instruction_set_;
  std::vector<Sequence<F>> layers_;
  std::vector<std::shared_ptr<F[]>> panels_;
  std::vector<Watched> watched_;
  int64_t lines_ = 0, parts_ = 1;
  double operations_ = 0;

  void pack(Sequence<F>& layer);
  void watch(const F* weights, int64_t count);
};

// One stream of B rows. It is for one thread at a time.
template <class F>
class Stream {
 public:
  // states: the first [L, B, P], the others [L, B, H]; they belong to the caller, and are zeros or what an earlier stream left.
  Stream(std::shared_ptr<const Stack<F>> stack, int64_t B, const std::vector<F*>& states);

  // Runs T steps, x [T, B, I] -> y [T, B, P], dense in the order that the strides of `rows` say; the states move on. False, and nothing
  // has happened, when the stack does not hold the weights any more. Throws std::runtime_error while another call is running,
  // and std::invalid_argument when x and y overlap.
  bool run(const F* x, F* y, const Rows& rows, int threads);

  const Stack<F>& stack() const { return *stack_; }
  int64_t B() const { return B_; }

 private:
  std::shared_ptr<const Stack<F>> stack_;
  int64_t B_;
  std::vector<F*> states_;
  int64_t next_part_ = 0;  // which part of the weights is looked at next
  bool from_last_ = false;
  std::atomic<bool> running_{false};

  void run_layers(const F* x, F* y, const Rows& rows, int threads);
};

}  // namespace carrousel
