// A stack of layers on an endless stream, one step or a block of steps per call: weights are packed once, states are updated in place.
// Letters as in sequence.hpp; L layers.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "carrousel/sequence.hpp"

namespace carrousel {

// An array that the weights were computed from. It is only compared with its copy, to notice a change.
template <class F>
struct Source {
  const F* numbers;
  int64_t count;
};

// The packed weights of a stack. It is immutable: many streams on many threads may share one.
template <class F>
class Stack {
 public:
  // Reads the sizes, weights and storage of each layer. Weights and sources must stay where they are as long as this object lives. Throws
  // std::invalid_argument if the cell has no kernel, or none for this storage.
  Stack(const char* cell, std::vector<Sequence<F>> layers, const std::vector<Source<F>>& sources = {});
  Stack(const Stack&) = delete;

  const Kernel<F>& kernel() const { return kernel_; }
  const std::vector<Sequence<F>>& layers() const { return layers_; }
  double operations() const { return operations_; }  // of one step of one row

  // True if the instruction set is that of the packing, and weights and sources are unchanged. They are compared in parts of at least 1
  // KiB, at most 1024; every part has something of all arrays. This call compares `count` parts, beginning with `first`.
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

// One stream of B rows, for one thread at a time.
template <class F>
class Stream {
 public:
  // states: the first [L, B, P], the others [L, B, H]; they belong to the caller and hold zeros or the states of an earlier stream.
  Stream(std::shared_ptr<const Stack<F>> stack, int64_t B, const std::vector<F*>& states);

  // Runs T steps, x [T, B, I] -> y [T, B, P], dense in the order given by the strides of `rows`; updates the states. Returns false and
  // does nothing if the stack's weights have changed. Throws std::runtime_error while another call is running, and
  // std::invalid_argument if x and y overlap.
  bool run(const F* x, F* y, const Rows& rows, int threads);

  const Stack<F>& stack() const { return *stack_; }
  int64_t B() const { return B_; }

 private:
  std::shared_ptr<const Stack<F>> stack_;
  int64_t B_;
  std::vector<F*> states_;
  int64_t next_part_ = 0;  // the part of the weights to compare next
  bool from_last_ = false;
  std::atomic<bool> running_{false};

  void run_layers(const F* x, F* y, const Rows& rows, int threads);
};

}  // namespace carrousel
