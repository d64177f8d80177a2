// Layer normalisation of a row: v becomes (v - mean) * scale, scale = 1 / sqrt(variance + epsilon).
//
// Two passes over numbers in the first-level cache: the variance is the mean of the squared differences from the mean, without
// cancellation, and costs no more than one pass in float64. If a row is one vector for each of its rows, a step waits for every
// addition on the way: then one pass finds both by merging halves (Chan, Golub and LeVeque 1979), also without cancellation.
#pragma once
#include <cmath>
#include <utility>
#include "machine/simd.hpp"

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

// v with each lane swapped with the one at `distance`, a power of two.
template <int distance, class V>
CARROUSEL_INLINE V swapped(V v) {
  return [&]<int... lane>(std::integer_sequence<int, lane...>) {
    return __builtin_shufflevector(v, v, (lane ^ distance)...);
  }(std::make_integer_sequence<int, lanes<V>>{});
}

// The result of sum_of in each lane.
template <class V, int distance = lanes<V> / 2>
CARROUSEL_INLINE V everywhere(V v) {
  const V sum = v + swapped<distance>(v);
  if constexpr (distance == 1)
    return sum;
  else
    return everywhere<V, distance / 2>(sum);
}

// v, of which n lanes exist, with zeros in the others.
template <class V>
CARROUSEL_INLINE V existing(V v, int n) {
  return n < lanes<V> ? mask_first_n<V>(v, n) : v;
}

template <class V>
CARROUSEL_INLINE V normalised(V v, const Moments<element<V>>& m, int n) {
  return existing<V>((v - set1<V>(m.mean)) * set1<V>(m.scale), n);
}

// Sums of `count` numbers in each lane, and sums of squared differences from their means; at the end of all lanes, in each of them.
template <int distance, class V>
CARROUSEL_INLINE void merge_lanes(V& sum, V& squares, int64_t count) {
  using T = element<V>;
  const V other = swapped<distance>(sum), apart = sum - other;
  squares += swapped<distance>(squares);
  squares += apart * apart * set1<V>(T(1) / T(2 * count));
  sum += other;
  if constexpr (2 * distance < lanes<V>) merge_lanes<2 * distance>(sum, squares, 2 * count);
}

template <int Each>
inline constexpr bool merges = Each == 1 || Each == 2 || Each == 4;

// For a row in registers, all of whose lanes exist.
template <class V, int Each>
CARROUSEL_INLINE Moments<element<V>> moments_of(const V (&row)[Each], double epsilon) {
  static_assert(merges<Each>, "rows merge by halves");
  using T = element<V>;
  V sum[Each], squares[Each] = {};
#pragma GCC unroll 4
  for (int r = 0; r < Each; ++r) sum[r] = row[r];
#pragma GCC unroll 4
  for (int half = Each / 2; half; half /= 2)
#pragma GCC unroll 4
    for (int r = 0; r < half; ++r) {
      const V apart = sum[r] - sum[r + half];
      squares[r] += squares[r + half];
      squares[r] += apart * apart * set1<V>(T(half) / T(Each));
      sum[r] += sum[r + half];
    }
  merge_lanes<1>(sum[0], squares[0], Each);
  constexpr T part = T(1) / T(Each * lanes<V>);
  return {sum[0][0] * part, T(1) / std::sqrt(squares[0][0] * part + T(epsilon))};
}

// For a row [blocks][Each][lanes], whose last block has n existing lanes; the others are zero.
template <class V, int Each>
CARROUSEL_INLINE Moments<element<V>> moments(const element<V>* row, int64_t blocks, int n, double epsilon) {
  using T = element<V>;
  constexpr int L = lanes<V>;
  if constexpr (merges<Each>)
    if (blocks == 1 && n == L) {
      V only[Each];
      for (int r = 0; r < Each; ++r) only[r] = load<V>(row + r * L);
      return moments_of(only, epsilon);
    }
  const T part = T(1) / (T(Each) * T((blocks - 1) * L + n));  // one division, off the critical path
  V sum[Each] = {}, squares[Each] = {};
  for (int64_t k = 0; k < blocks; ++k)
    for (int r = 0; r < Each; ++r) sum[r] += load<V>(row + (k * Each + r) * L);
  for (int r = 1; r < Each; ++r) sum[0] += sum[r];
  const T mean = sum_of<V>(sum[0]) * part;
  for (int64_t k = 0; k < blocks; ++k)
    for (int r = 0; r < Each; ++r) {
      const V left = existing<V>(load<V>(row + (k * Each + r) * L) - set1<V>(mean), k + 1 < blocks ? L : n);
      squares[r] += left * left;
    }
  for (int r = 1; r < Each; ++r) squares[0] += squares[r];
  return {mean, T(1) / std::sqrt(sum_of<V>(squares[0]) * part + T(epsilon))};
}

}  // namespace carrousel::CARROUSEL_TARGET
