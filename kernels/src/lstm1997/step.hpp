// The input and target of one network at a step, and the errors of a sequence.
#pragma once
#include "carrousel/lstm1997.hpp"
#include "lstm1997/fold.hpp"

namespace carrousel::CARROUSEL_TARGET {

using lstm1997::Errors;
using lstm1997::Network;
using lstm1997::Rule;

// Inputs are numbers, or the index of the one that is on. With more inputs than this, most are assumed off: the changes of an
// input's weights are computed when it is on again, not at every step.
inline constexpr int small_alphabet = 16;

template <class F>
struct Input {
  const F* x = nullptr;  // [I], or null:
  int32_t symbol = -1;   // the one that is on; -1: none

  template <class Visit>  // calls visit(m, x_m) for those that may be nonzero
  CARROUSEL_INLINE void each(int I, Visit visit) const {
    if (x)
      for (int m = 0; m < I; ++m) visit(m, x[m]);
    else if (symbol >= 0)
      visit(symbol, F(1));
  }
};

template <class F>
struct TargetOutput {
  const F* row = nullptr;  // [K], or null:
  int32_t index = -1;      // the output whose target is 1, all others 0; -1: no target

  explicit operator bool() const { return row || index >= 0; }
};

// The errors of a sequence so far.
template <class F, int N>
struct Tally {
  F absolute[partials] = {}, squared[partials] = {};
  F largest[N] = {}, last[N] = {};  // of the outputs in each lane: at any step, at the last one with a target
  int rows = 0;

  Errors errors(int K) {
    Errors found;
    if (!rows) return found;
    const F sum = folded(absolute, K);
    for (int i = 0; i < N; ++i) {
      found.largest = largest[i] > found.largest ? float(largest[i]) : found.largest;
      found.at_end = last[i] > found.at_end ? float(last[i]) : found.at_end;
    }
    if (sum != sum) found.largest = found.at_end = float(sum);  // NaN must not pass for a small error
    found.absolute = float(sum / F(rows * K));
    found.squared = float(folded(squared, K) / F(rows * K));
    return found;
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
