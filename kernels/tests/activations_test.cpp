// The squashing functions, held to the errors and ranges that src/machine/activations.hpp states.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "each_part.hpp"
#include "errors.hpp"
#include "guarded.hpp"

namespace carrousel::test {
namespace {

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
    for (const auto function : {&Parts<F>::exp, &Parts<F>::sigmoid, &Parts<F>::tanh, &Parts<F>::relu, &Parts<F>::step_of})
      check_nan_keeps_its_lane(parts, function);
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
