// A case through the kernels, forward and backward, in arrays whose surroundings are checked.
#pragma once
#include <array>
#include <vector>

#include "case.hpp"

namespace carrousel::test {

// The request to the kernels. What is not requested is passed as null.
struct Ask {
  int threads = 1;
  int64_t gap = 0;   // elements between the rows of y, and of dy
  bool backward = true;
  bool low = false;  // only the states are saved (memory="low")
  bool dy = true, d_final = true;
  std::array<bool, inputs> wanted = all();
  RandomMasks masks{};

  static constexpr std::array<bool, inputs> all() {
    std::array<bool, inputs> wanted{};
    wanted.fill(true);
    return wanted;
  }
};

template <class F>
struct Outcome {
  std::array<std::vector<F>, outputs> values;
  std::array<std::vector<F>, inputs> gradients;  // empty where not requested
};

template <class F>
Outcome<F> run(const Case& c, const Ask& ask = {});

Rows rows_of(const Case& c);  // points into c

// Whether two arrays hold the same bits.
template <class F>
bool same_bits(const std::vector<F>& a, const std::vector<F>& b);
// Checks that all outputs and gradients hold the same bits, except gradients that one of the two did not request.
template <class F>
void check_same_bits(const Outcome<F>& a, const Outcome<F>& b);

// Uses the instruction set with this name during its lifetime.
class Using {
 public:
  explicit Using(const char* name);
  ~Using();
  Using(const Using&) = delete;

 private:
  const char* before_;
};

// Calls run(name) for every instruction set of this machine.
template <class Run>
void with_every_instruction_set(Run run) {
  for (const char* const* name = instruction_sets(); *name; ++name) {
    const Using in_force(*name);
    run(*name);
  }
}

}  // namespace carrousel::test
