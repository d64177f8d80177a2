// The other functions of a cell, held to the errors and ranges that src/machine/functions.hpp states.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "each_part.hpp"
#include "errors.hpp"

namespace carrousel::test {
namespace {

template <class W>
W exact_softplus(W x) {
  return std::max(x, W(0)) + std::log1p(std::exp(-std::abs(x)));
}

TEST_CASE_TEMPLATE("expm1, log, log1p, softplus and sqrt keep to their errors", F, float, double) {
  using W = Wide<F>;
  const F low = exp_range<F>.low, tiny = std::numeric_limits<F>::denorm_min(), most = std::numeric_limits<F>::max();
  check_error<F>(&Parts<F>::expm1, [](W x) { return std::expm1(x); }, exp_range<F>, 3);
  check_error<F>(&Parts<F>::log, [](W x) { return std::log(x); }, {tiny, most}, 2);
  check_error<F>(&Parts<F>::log1p, [](W x) { return std::log1p(x); }, {std::nextafter(F(-1), F(0)), most}, 3);
  check_error<F>(&Parts<F>::softplus, exact_softplus, {low, most}, 3);
  check_error<F>(&Parts<F>::sqrt, [](W x) { return std::sqrt(x); }, {F(0), most}, 0.5);
}

TEST_CASE_TEMPLATE("logarithms and roots at their ends", F, float, double) {
  constexpr F inf = infinity<F>;
  with_all_parts<F>([&](const Parts<F>& parts) {
    CHECK(apply(parts, &Parts<F>::log, {F(0), -F(0), F(1), inf}) == std::vector<F>{-inf, -inf, 0, inf});
    CHECK(apply(parts, &Parts<F>::log1p, {F(-1), F(0), inf}) == std::vector<F>{-inf, 0, inf});
    CHECK(apply(parts, &Parts<F>::sqrt, {F(0), F(1), inf}) == std::vector<F>{0, 1, inf});
    for (const F y : apply(parts, &Parts<F>::log, {F(-1), -inf, nan_of<F>})) CHECK(std::isnan(y));
    for (const F y : apply(parts, &Parts<F>::log1p, {F(-2), -inf, nan_of<F>})) CHECK(std::isnan(y));
    for (const F y : apply(parts, &Parts<F>::sqrt, {F(-1), -inf, nan_of<F>})) CHECK(std::isnan(y));
  });
}

TEST_CASE_TEMPLATE("outside its range softplus stays where it is, or is x", F, float, double) {
  const F low = exp_range<F>.low, tiny = sizeof(F) == 4 ? F(1e-37) : F(1e-307);
  with_all_parts<F>([&](const Parts<F>& parts) {
    const std::vector<F> y = apply(parts, &Parts<F>::softplus, {low, 2 * low, -infinity<F>, F(1e30), infinity<F>});
    CHECK((y[0] == y[1] && y[1] == y[2]));
    CHECK((y[0] > 0 && y[0] < tiny));
    CHECK((y[3] == F(1e30) && y[4] == infinity<F>));
  });
}

TEST_CASE_TEMPLATE("signs, comparisons and choices are exact", F, float, double) {
  constexpr F inf = infinity<F>, nan = nan_of<F>;
  const std::vector<F> x{-inf, F(-1), -F(0), F(0), F(2), F(2), inf, nan, F(1)}, z{F(1), F(-2), F(0), F(0), F(3), F(2), inf, F(1), nan};
  const int64_t n = int64_t(x.size());
  with_all_parts<F>([&](const Parts<F>& parts) {
    const std::vector<F> size = apply(parts, &Parts<F>::abs, x), sign = apply(parts, &Parts<F>::sign, x);
    const auto pair = [&](typename Parts<F>::Function2 function) {
      std::vector<F> y(n);
      function(y.data(), x.data(), z.data(), n);
      return y;
    };
    std::vector<F> most = pair(parts.maximum), least = pair(parts.minimum), chosen(n);
    for (int64_t i = 0; i < n; ++i) {
      if (std::isnan(x[i])) continue;
      CHECK(size[i] == std::abs(x[i]));
      CHECK(!std::signbit(size[i]));
      CHECK(sign[i] == F((x[i] > 0) - (x[i] < 0)));
    }
    CHECK((std::isnan(size[7]) && std::isnan(sign[7])));
    for (const auto& y : {most, least}) CHECK((std::isnan(y[7]) && std::isnan(y[8])));
    most.resize(7);
    least.resize(7);
    CHECK(most == std::vector<F>{1, -1, 0, 0, 3, 2, inf});
    CHECK(least == std::vector<F>{-inf, -2, 0, 0, 2, 2, inf});
    CHECK(pair(parts.less) == std::vector<F>{1, 0, 0, 0, 1, 0, 0, 0, 0});
    CHECK(pair(parts.less_equal) == std::vector<F>{1, 0, 1, 1, 1, 1, 1, 0, 0});
    CHECK(pair(parts.equal) == std::vector<F>{0, 0, 1, 1, 0, 1, 1, 0, 0});
    const std::vector<F> mask = pair(parts.less_equal);
    parts.select(chosen.data(), mask.data(), z.data(), x.data(), 7);
    chosen.resize(7);
    CHECK(chosen == std::vector<F>{1, -1, 0, 0, 3, 2, inf});  // where x <= z, z: the greater one
  });
}

TEST_CASE_TEMPLATE("what is no number stays none in them, and stays in its lane", F, float, double) {
  with_all_parts<F>([&](const Parts<F>& parts) {
    for (const auto function : {&Parts<F>::expm1, &Parts<F>::log, &Parts<F>::log1p, &Parts<F>::softplus, &Parts<F>::sqrt, &Parts<F>::abs})
      check_nan_keeps_its_lane(parts, function);
  });
}

}  // namespace
}  // namespace carrousel::test
