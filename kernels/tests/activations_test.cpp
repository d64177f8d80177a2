// The squashing functions, held to the errors and ranges that src/activations.hpp states.
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
namespace {

// Exact enough to judge by: float against double, double against long double (which must have more bits than double).
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

// In units of the last place of the exact value, rounded to F.
template <class F>
double ulps(F got, Wide<F> exact) {
  const int exponent = std::max(std::ilogb(exact), std::numeric_limits<F>::min_exponent - 1);
  return double(std::abs(Wide<F>(got) - exact) / std::ldexp(Wide<F>(1), exponent - std::numeric_limits<F>::digits + 1));
}

// Arguments of every size and sign: bit patterns at even distances, and numbers at even distances about zero.
template <class F>
std::vector<F> arguments(F low, F high) {
  using Bits = std::conditional_t<sizeof(F) == 4, uint32_t, uint64_t>;
  constexpr int count = sanitized ? 20'000 : 400'000;
  std::vector<F> all{F(0), -F(0), low, high};
  const auto add = [&](F x) {
    if (x >= low && x <= high) all.push_back(x);
  };
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
  (parts.*function)(y.data(), x.data(), long(x.size()));
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

template <class W>
W exact_exp(W x) {
  return std::exp(x);
}
template <class W>
W exact_sigmoid(W x) {
  return 1 / (1 + std::exp(-x));
}
template <class W>
W exact_tanh(W x) {
  return std::tanh(x);
}

TEST_CASE_TEMPLATE("exp, sigmoid and tanh keep to their errors", F, float, double) {
  static_assert(std::numeric_limits<Wide<F>>::digits > std::numeric_limits<F>::digits);
  check_error<F>(&Parts<F>::exp, exact_exp, exp_range<F>, 2);
  check_error<F>(&Parts<F>::sigmoid, exact_sigmoid, {exp_range<F>.low, infinity<F>}, 3);
  check_error<F>(&Parts<F>::tanh, exact_tanh, {-infinity<F>, infinity<F>}, 4);
}

TEST_CASE_TEMPLATE("outside its range exp is clamped, and sigmoid stays where it is", F, float, double) {
  const auto [low, high] = exp_range<F>;
  const F tiny = sizeof(F) == 4 ? F(1e-37) : F(1e-307);
  with_all_parts<F>([&, low = low, high = high](const Parts<F>& parts) {
    const std::vector<F> exp = apply(parts, &Parts<F>::exp, {low, 2 * low, -infinity<F>, high, 2 * high, infinity<F>});
    CHECK((exp[0] == exp[1] && exp[1] == exp[2]));
    CHECK((exp[3] == exp[4] && exp[4] == exp[5]));
    const std::vector<F> sigmoid = apply(parts, &Parts<F>::sigmoid, {low, 2 * low, -infinity<F>, infinity<F>});
    CHECK((sigmoid[0] == sigmoid[1] && sigmoid[1] == sigmoid[2]));
    CHECK((sigmoid[0] > 0 && sigmoid[0] < tiny));
    CHECK(sigmoid[3] == 1);
    const std::vector<F> tanh = apply(parts, &Parts<F>::tanh, {-infinity<F>, infinity<F>, F(-1e30), F(1e30)});
    CHECK(tanh == std::vector<F>{-1, 1, -1, 1});
  });
}

TEST_CASE_TEMPLATE("relu and its derivative are exact", F, float, double) {
  const F denormal = std::numeric_limits<F>::denorm_min();
  const std::vector<F> x{-infinity<F>, F(-1), -denormal, -F(0), F(0), denormal, F(2.5), infinity<F>};
  with_all_parts<F>([&](const Parts<F>& parts) {
    CHECK(apply(parts, &Parts<F>::relu, x) == std::vector<F>{0, 0, 0, 0, 0, denormal, F(2.5), infinity<F>});
    CHECK(apply(parts, &Parts<F>::step_of, x) == std::vector<F>{0, 0, 0, 0, 0, 1, 1, 1});
  });
}

TEST_CASE_TEMPLATE("what is no number stays none, and stays in its lane", F, float, double) {
  with_all_parts<F>([&](const Parts<F>& parts) {
    for (const auto function : {&Parts<F>::exp, &Parts<F>::sigmoid, &Parts<F>::tanh, &Parts<F>::relu, &Parts<F>::step_of}) {
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
  });
}

TEST_CASE_TEMPLATE("a tail is read and written as far as it goes", F, float, double) {
  with_all_parts<F>([&](const Parts<F>& parts) {
    for (int n = 1; n <= 2 * parts.lanes + 1; ++n) {
      Guarded<F> x(std::vector<double>(n, 0.5)), y(n);
      parts.relu(y.data(), x.data(), n);
      CHECK(y.values() == std::vector<F>(n, F(0.5)));
      CHECK(y.unharmed());
    }
  });
}

}  // namespace
}  // namespace carrousel::test
