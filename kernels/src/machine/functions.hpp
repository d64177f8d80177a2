// Functions that a cell may use besides the squashing functions of activations.hpp.
//
//   function           error, float and double    range
//   expm1(x)           3 ULP                      as exp
//   log(x)             2 ULP                      all x; 0 gives -infinity, less gives NaN
//   log1p(x)           3 ULP                      all x; -1 gives -infinity, less gives NaN
//   softplus(x)        3 ULP                      x >= -87 (double: -708); below, the result is under 1e-37 (1e-307) and stays there
//   sqrt(x)            half a unit                all x; less than 0 gives NaN
//   abs, sign, clamp, maximum, minimum, less, less_equal, equal, select: exact. A comparison is 1 where it holds, else 0.
// NaN in, NaN out, except that a comparison with NaN is 0. The tests hold the functions to these numbers.
#pragma once
#include <cmath>
#include <limits>
#include "machine/activations.hpp"

namespace carrousel::CARROUSEL_TARGET {

// log(1 + f) = f - s (f - z q(z)) with s = f / (2 + f), z = s^2: q is a minimax fit in z over [0, 0.02945], which is
// sqrt(1/2) <= 1 + f <= sqrt(2) (mpmath's chebyfit at 50 digits); its error is under 0.02 ULP of the logarithm. `wide` is the same over
// [0, 1/9], which is 1 <= 1 + f <= 2.
template <class T>
struct Logarithm;
template <>
struct Logarithm<float> {
  static constexpr float q[] = {0.6666667f, 0.40000123f, 0.28550804f, 0.23330964f};
  static constexpr float wide[] = {0.6666667f, 0.4000001f, 0.28570306f, 0.22264711f, 0.17464702f, 0.20787617f};
  static constexpr int32_t sqrt_half = 0x3f3504f3;  // its bits
  static constexpr int up = 30;
};
template <>
struct Logarithm<double> {
  static constexpr double q[] = {0.666666666666667,   0.3999999999989924, 0.2857142862609589, 0.2222221111514416,
                                 0.18182890556695602, 0.1533167403016786, 0.1461703754879165};
  static constexpr double wide[] = {0.6666666666666667,  0.4000000000000002,  0.2857142857142194, 0.2222222222333199,
                                    0.1818181808600566,  0.1538462025380416,  0.1333317694913818, 0.1176799776724104,
                                    0.10480399234365274, 0.09942024896554735, 0.0633411085177025, 0.15231262619428985};
  static constexpr int64_t sqrt_half = 0x3fe6a09e667f3bcd;
  static constexpr int up = 54;  // more than the digits that subnormal numbers lack
};

template <class V>
CARROUSEL_INLINE V log(V x) {
  using T = element<V>;
  using L = Logarithm<T>;
  using C = Constants<T>;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  const auto small = x < set1<V>(std::numeric_limits<T>::min());  // subnormal: scaled up, because it has fewer digits
  const V scaled = small ? x * set1<V>(T(int64_t(1) << L::up)) : x;
  bits_of<V> bits;
  std::memcpy(&bits, &scaled, sizeof bits);
  bits &= std::numeric_limits<element<bits_of<V>>>::max();    // negative x has no logarithm, but its bits must not overflow
  const bits_of<V> n = (bits - L::sqrt_half) >> C::mantissa;  // x = 2^n (1 + f)
  bits -= n << C::mantissa;
  V m;
  std::memcpy(&m, &bits, sizeof m);
  const V f = m - set1<V>(1), s = f / (set1<V>(2) + f), z = s * s;
  constexpr int degree = sizeof(L::q) / sizeof(L::q[0]) - 1;
  V q = set1<V>(L::q[degree]);
#pragma GCC unroll 8
  for (int k = degree - 1; k >= 0; --k) q = q * z + set1<V>(L::q[k]);
  const V power = __builtin_convertvector(n, V) - (small ? set1<V>(L::up) : V{});
  const V y = power * set1<V>(C::ln2_high) + (f - (s * (f - z * q) - power * set1<V>(C::ln2_low)));
  const V inside = x < set1<V>(infinity) ? y : x;  // NaN stays itself
  return x > V{} ? inside : (x == V{} ? set1<V>(-infinity) : set1<V>(std::numeric_limits<T>::quiet_NaN()));
}

// Adds back what rounding 1 + x has lost.
template <class V>
CARROUSEL_INLINE V log1p(V x) {
  const V u = set1<V>(1) + x, lost = (x - (u - set1<V>(1))) / u;
  const V y = log(u);
  return u > V{} && u < set1<V>(std::numeric_limits<element<V>>::infinity()) ? y + lost : y;
}

template <class V>
CARROUSEL_INLINE V expm1(V x) {
  using C = Constants<element<V>>;
  const Exponential<V> e = split_exp(clamp(x, C::low, C::high));
  return e.scale * e.rest + (e.scale - set1<V>(1));
}

template <class V>
CARROUSEL_INLINE V abs(V x) {
  bits_of<V> bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits &= std::numeric_limits<element<bits_of<V>>>::max();  // all but the sign
  V y;
  std::memcpy(&y, &bits, sizeof y);
  return y;
}

// log(1 + e^x), computed so that e^x does not overflow and 1 + e^x does not lose it: log1p of a number t <= 1, as in log, t - s (t - z
// q(z)), but without an exponent to split off and with more terms.
template <class V>
CARROUSEL_INLINE V softplus(V x) {
  using Q = Logarithm<element<V>>;
  const V t = exp(-abs(x)), s = quotient(t, set1<V>(2) + t), z = s * s, z2 = z * z, z4 = z2 * z2, z8 = z4 * z4;
  constexpr int degree = sizeof(Q::wide) / sizeof(Q::wide[0]) - 1;
  return relu(x) + (t - s * (t - z * polynomial<V, Q::wide, 0, degree>(z, z2, z4, z8)));
}

template <class V>
CARROUSEL_INLINE V sqrt(V x) {
  V y{};
#pragma GCC unroll 16
  for (int i = 0; i < lanes<V>; ++i) y[i] = std::sqrt(x[i]);
  return y;
}

template <class V>
CARROUSEL_INLINE V sign(V x) {
  return x > V{} ? set1<V>(1) : (x < V{} ? set1<V>(-1) : x);
}

template <class V>
CARROUSEL_INLINE V clamp(V x, V low, V high) {
  return x < low ? low : (x > high ? high : x);
}

template <class V>
CARROUSEL_INLINE V maximum(V x, V z) {
  return x < z ? z : (x >= z ? x : x + z);  // NaN: neither comparison holds, and the sum is NaN
}

template <class V>
CARROUSEL_INLINE V minimum(V x, V z) {
  return x > z ? z : (x <= z ? x : x + z);
}

template <class V>
CARROUSEL_INLINE V less(V x, V z) {
  return x < z ? set1<V>(1) : V{};
}

template <class V>
CARROUSEL_INLINE V less_equal(V x, V z) {
  return x <= z ? set1<V>(1) : V{};
}

template <class V>
CARROUSEL_INLINE V equal(V x, V z) {
  return x == z ? set1<V>(1) : V{};
}

template <class V>
CARROUSEL_INLINE V select(V mask, V x, V z) {
  return mask != V{} ? x : z;
}

}  // namespace carrousel::CARROUSEL_TARGET
