// Measures for functions of one number: their error in ULP, and where they give NaN.
#pragma once
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "each_part.hpp"
#include "guarded.hpp"

namespace carrousel::test {

// Precise enough as a reference: double for float, long double for double (it must have more bits than double).
template <class F>
using Wide = std::conditional_t<sizeof(F) == 4, double, long double>;

template <class F>
struct Range {
  F low, high;
};
template <class F>
constexpr Range<F> exp_range = sizeof(F) == 4 ? Range<F>{-87, 88} : Range<F>{-708, 709};
template <class F>
constexpr F infinity = std::numeric_limits<F>::infinity();
template <class F>
constexpr F nan_of = std::numeric_limits<F>::quiet_NaN();

// In ULP of the exact value, rounded to F.
template <class F>
double ulps(F got, Wide<F> exact) {
  const int exponent = std::max(std::ilogb(exact), std::numeric_limits<F>::min_exponent - 1);
  return double(std::abs(Wide<F>(got) - exact) / std::ldexp(Wide<F>(1), exponent - std::numeric_limits<F>::digits + 1));
}

// Arguments of every size and sign: bit patterns at even distances, and numbers at even distances around zero.
template <class F>
std::vector<F> arguments(F low, F high) {
  using Bits = std::conditional_t<sizeof(F) == 4, uint32_t, uint64_t>;
  constexpr int count = sanitized ? 20'000 : 400'000;
  std::vector<F> all;
  const auto add = [&](F x) {
    if (x >= low && x <= high) all.push_back(x);
  };
  for (const F x : {F(0), -F(0), low, high}) add(x);
  for (int k = 0; k < count; ++k) {
    add(std::bit_cast<F>(Bits(std::numeric_limits<Bits>::max() / count * k)));
    add(F(-100 + 200.0 * k / count));
    add(F(-1 + 2.0 * k / count));
  }
  return all;
}

template <class F>
std::vector<F> apply(const Parts<F>& parts, typename Parts<F>::Function Parts<F>::* function, const std::vector<F>& x) {
  std::vector<F> y(x.size());
  (parts.*function)(y.data(), x.data(), int64_t(x.size()));
  return y;
}

template <class F>
void check_error(typename Parts<F>::Function Parts<F>::* function, Wide<F> (*exact)(Wide<F>), Range<F> range, double allowed) {
  const std::vector<F> x = arguments(range.low, range.high);
  std::vector<Wide<F>> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = exact(x[i]);
  with_all_parts<F>([&](const Parts<F>& parts) {
    const std::vector<F> got = apply(parts, function, x);
    double worst = 0;
    F where = 0;
    for (size_t i = 0; i < x.size(); ++i)
      if (const double error = ulps<F>(got[i], y[i]); !(error <= worst)) worst = error, where = x[i];
    CAPTURE(where);
    CHECK(worst <= allowed);
  });
}

template <class F>
void check_nan_keeps_its_lane(const Parts<F>& parts, typename Parts<F>::Function Parts<F>::* function) {
  const int n = 2 * parts.lanes;
  const std::vector<F> numbers = apply(parts, function, std::vector<F>(n, F(0.5)));
  for (int lane = 0; lane < n; ++lane) {
    std::vector<F> x(n, F(0.5));
    x[lane] = nan_of<F>;
    std::vector<F> y = apply(parts, function, x);
    CHECK(std::isnan(y[lane]));
    y[lane] = numbers[lane];
    CHECK(y == numbers);
  }
}

}  // namespace carrousel::test
