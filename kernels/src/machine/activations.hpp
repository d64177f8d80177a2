// The squashing functions. All share one core, e^x - 1 = 2^n (e^r - 1) + (2^n - 1) with |r| <= ln 2 / 2: tanh made from it is accurate
// relative to its value around zero, where 1 - 2 / (1 + e^2x) is not, and needs no branch.
//
//   function      error, float and double    range
//   sigmoid(x)    3 ULP                      all x >= -87 (double: -708); below, the result is under 1e-37 (1e-307) and stays there
//   tanh(x)       4 ULP                      all x
//   exp(x)        2 ULP                      [-87, 88] (double: [-708, 709]); outside, x is clamped to it
//   relu, step_of exact
// NaN in, NaN out. The tests hold the functions to these numbers.
#pragma once
#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class T>
struct Constants;

// expm1(r) = r + r^2 q(r): q is a minimax fit in r over +-0.348 (mpmath's chebyfit at 50 digits), relative error under 0.04 ULP.
template <>
struct Constants<float> {
  static constexpr float q[] = {0.5f, 0.16666667f, 0.04166646f, 0.0083333105f, 0.001393409f, 0.0001989148f};
  static constexpr float ln2_high = 0.693359375f, ln2_low = -0.00021219444f;  // high has 9 bits: n * high is exact
  static constexpr float low = -87.0f, high = 88.0f, tanh_high = 20.0f;
  static constexpr float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which its low bits then hold
  static constexpr int mantissa = 23, bias = 127;
};

template <>
struct Constants<double> {
  static constexpr double q[] = {0.5,
                                 0.1666666666666667,
                                 0.04166666666666667,
                                 0.008333333333325848,
                                 0.0013888888888883544,
                                 0.00019841269875819578,
                                 2.4801587326261104e-05,
                                 2.755725413931689e-06,
                                 2.7557272742699346e-07,
                                 2.5105739219586713e-08,
                                 2.0915059884917686e-09};
  static constexpr double ln2_high = 0.6931471803691238, ln2_low = 1.9082149292705877e-10;
  static constexpr double low = -708.0, high = 709.0, tanh_high = 44.0;
  static constexpr double shift = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr int mantissa = 52, bias = 1023;
};

// Every comparison with NaN is false: written this way, NaN passes through.
template <class V>
CARROUSEL_INLINE V clamp(V x, element<V> low, element<V> high) {
  return at_most(at_least(x, set1<V>(low)), set1<V>(high));
}

// Estrin's scheme, by halves: a step of a small network waits for this chain of additions, and Horner's is twice as long.
template <class V, const auto& q, int First, int Last>
CARROUSEL_INLINE V polynomial(V r, V r2, V r4, V r8) {
  if constexpr (Last == First) {
    return set1<V>(q[First]);
  } else if constexpr (Last - First == 1) {
    return set1<V>(q[First]) + r * set1<V>(q[Last]);
  } else {
    constexpr int half = Last - First >= 8 ? 8 : Last - First >= 4 ? 4 : 2;
    const V power = half == 8 ? r8 : half == 4 ? r4 : r2;
    return polynomial<V, q, First, First + half - 1>(r, r2, r4, r8) + power * polynomial<V, q, First + half, Last>(r, r2, r4, r8);
  }
}

template <class V>
struct Exponential {  // e^x = scale * (1 + rest)
  V scale, rest;
};

template <class V>
CARROUSEL_INLINE Exponential<V> split_exp(V x) {
  using C = Constants<element<V>>;
  constexpr int degree = sizeof(C::q) / sizeof(C::q[0]) - 1;
  const V shifted = x * set1<V>(1.4426950408889634) + set1<V>(C::shift);
  const V n = shifted - set1<V>(C::shift);
  const V r = x - n * set1<V>(C::ln2_high) - n * set1<V>(C::ln2_low);
  const V r2 = r * r, r4 = r2 * r2, r8 = r4 * r4;
  const V rest = r + r2 * polynomial<V, C::q, 0, degree>(r, r2, r4, r8);
  bits_of<V> exponent;
  std::memcpy(&exponent, &shifted, sizeof exponent);
  exponent = (exponent + C::bias) << C::mantissa;  // the shift drops everything of `shifted` but the integer
  V scale;
  std::memcpy(&scale, &exponent, sizeof scale);
  return {scale, rest};
}

// n / d for 1 <= d < 2^127. A division of 16 floats occupies the divider for ten cycles or more, and a step has five. An approximate
// reciprocal of 14 bits, one Newton step and one correction of the quotient are as exact to half a ULP and take half as long. Vectors
// with fewer lanes divide: a small network waits for the latency of one result, and there division is faster. Define
// CARROUSEL_SAME_BITS for the same bits in every instruction set.
template <class V>
CARROUSEL_INLINE V quotient(V n, V d) {
#if defined(__AVX512F__) && !defined(CARROUSEL_SAME_BITS)
  if constexpr (sizeof(V) == 64 && sizeof(element<V>) == 4) {
    V r = (V)_mm512_maskz_rcp14_ps(0xffff, (__m512)d);  // masked because of GCC 12, as in simd.hpp
    r = r + r * (set1<V>(1) - d * r);
    const V q = n * r;
    return q + r * (n - q * d);
  }
#endif
  return n / d;
}

template <class V>
CARROUSEL_INLINE V exp(V x) {
  using C = Constants<element<V>>;
  const Exponential<V> e = split_exp(clamp(x, C::low, C::high));
  return e.scale * e.rest + e.scale;
}

template <class V>
CARROUSEL_INLINE V sigmoid(V x) {
  using C = Constants<element<V>>;
  const Exponential<V> e = split_exp(clamp(-x, C::low, -C::low));
  const V one = set1<V>(1);
  return quotient(one, (one + e.scale) + e.scale * e.rest);
}

template <class V>
CARROUSEL_INLINE V tanh(V x) {
  using C = Constants<element<V>>;
  const Exponential<V> e = split_exp(clamp(x + x, -C::tanh_high, C::tanh_high));
  const V expm1 = e.scale * e.rest + (e.scale - set1<V>(1));
  return quotient(expm1, expm1 + set1<V>(2));
}

template <class V>
CARROUSEL_INLINE V step_of(V x) {  // the derivative of relu
  return x > V{} ? set1<V>(1) : (x == x ? V{} : x);
}

template <class V>
CARROUSEL_INLINE V relu(V x) {
  return x < V{} ? V{} : x;
}

}  // namespace carrousel::CARROUSEL_TARGET
