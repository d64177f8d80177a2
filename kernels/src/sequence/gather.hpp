// What reaches h of a row from outside, and in the step after from the unit itself: all of dh but what comes through R.
#pragma once
#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

// to [vectors * lanes] = dy + d_final + reached, from a column on: of dy and d_final [width], and of what reached a unit by itself
// [whole vectors]. Each may be null.
template <class V>
CARROUSEL_INLINE void gather_row(element<V>* to, const element<V>* dy, const element<V>* d_final, const element<V>* reached, long column,
                                 int vectors, long width) {
  constexpr int L = lanes<V>;
  for (int v = 0; v < vectors; ++v) {
    const long at = column + v * L;
    const int n = int(width - at < L ? width - at : L);
    V sum = dy ? load_some<V>(dy + at, n) : V{};
    if (d_final) sum += load_some<V>(d_final + at, n);
    if (reached) sum += load<V>(reached + at);
    store<V>(to + v * L, sum);
  }
}

}  // namespace carrousel::CARROUSEL_TARGET
