// What a core could do at most: multiplications and additions in registers, with nothing to wait for.
#pragma once
#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

inline constexpr int peak_chains = 12;  // more than an addition's latency times the additions that begin in a cycle

// sums [peak_chains] = sums * factor + term, so many times. The compiler fuses a product with its sum where the instruction set can.
template <class V>
void multiply_and_add(V* sums, V factor, V term, int64_t times) {
  V sum[peak_chains];
  for (int chain = 0; chain < peak_chains; ++chain) sum[chain] = sums[chain];
  for (int64_t k = 0; k < times; ++k)
#pragma GCC unroll 12
    for (int chain = 0; chain < peak_chains; ++chain) sum[chain] = sum[chain] * factor + term;
  for (int chain = 0; chain < peak_chains; ++chain) sums[chain] = sum[chain];
}

// At least `operations` of them, on numbers that stay finite; the number of operations done, in *done. Returns what must not be optimized away.
template <class V>
element<V> spend(int64_t operations, int64_t* done) {
  constexpr int64_t each = 2 * peak_chains * lanes<V>;
  V sums[peak_chains] = {};
  const int64_t times = operations / each + 1;
  *done = times * each;
  multiply_and_add(sums, set1<V>(0.5), set1<V>(1), times);
  V sum{};
  for (const V& one : sums) sum += one;
  return sum[0];
}

}  // namespace carrousel::CARROUSEL_TARGET
