// Layer normalisation of a row: v becomes (v - mean) * scale, scale = 1 / sqrt(variance + epsilon).
//
// Two passes over numbers that lie in the nearest cache: the variance is the mean of squares of what is left of the mean, in which nothing
// cancels, and costs no more than one pass in float64 would.
#pragma once
#include <cmath>
#include "simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class T>
struct Moments {
  T mean = 0, scale = 0;
};

template <class V>
CARROUSEL_INLINE element<V> sum_of(V v) {
  if constexpr (lanes<V> == 2) {
    return v[0] + v[1];
  } else {
    vec<element<V>, lanes<V> / 2> half[2];
    std::memcpy(half, &v, sizeof v);
    return sum_of(half[0] + half[1]);
  }
}

// v, of which n lanes exist, with zeros in the others.
template <class V>
CARROUSEL_INLINE V existing(V v, int n) {
  return n < lanes<V> ? first_lanes<V>(v, n) : v;
}

template <class V>
CARROUSEL_INLINE V normalised(V v, const Moments<element<V>>& m, int n) {
  return existing<V>((v - splat<V>(m.mean)) * splat<V>(m.scale), n);
}

// Of a row [blocks][Each][lanes], whose last block has n lanes that exist; the others hold zeros.
template <class V, int Each>
CARROUSEL_INLINE Moments<element<V>> moments(const element<V>* row, long blocks, int n, double epsilon) {
  using T = element<V>;
  constexpr int L = lanes<V>;
  const T part = T(1) / (T(Each) * T((blocks - 1) * L + n));  // one division, which nothing waits for
  V sum[Each] = {}, squares[Each] = {};
  for (long k = 0; k < blocks; ++k)
    for (int r = 0; r < Each; ++r) sum[r] += load<V>(row + (k * Each + r) * L);
  for (int r = 1; r < Each; ++r) sum[0] += sum[r];
  const T mean = sum_of<V>(sum[0]) * part;
  for (long k = 0; k < blocks; ++k)
    for (int r = 0; r < Each; ++r) {
      const V left = existing<V>(load<V>(row + (k * Each + r) * L) - splat<V>(mean), k + 1 < blocks ? L : n);
      squares[r] += left * left;
    }
  for (int r = 1; r < Each; ++r) squares[0] += squares[r];
  return {mean, T(1) / std::sqrt(sum_of<V>(squares[0]) * part + T(epsilon))};
}

}  // namespace carrousel::CARROUSEL_TARGET
