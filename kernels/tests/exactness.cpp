#include "exactness.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>

namespace carrousel::test {
namespace {

// The largest difference of two arrays, relative to the largest element of the second; NaN if one of them holds a NaN.
template <class A, class B>
double distance(const std::vector<A>& a, const std::vector<B>& b) {
  double most = 0, largest = 1e-3;
  for (size_t i = 0; i < a.size(); ++i) {
    const double apart = std::abs(double(a[i]) - double(b[i]));
    if (!(apart <= most)) most = apart;
    largest = std::max(largest, std::abs(double(b[i])));
  }
  return a.size() == b.size() ? most / largest : NAN;
}

// The error of a gradient's slope in a direction, relative to the sum of its terms.
double distance_of_slope(const std::vector<double>& gradient, const std::vector<double>& direction, double exact) {
  double slope = 0, terms = 1e-3;
  for (size_t i = 0; i < gradient.size(); ++i) {
    slope += gradient[i] * direction[i];
    terms += std::abs(gradient[i] * direction[i]);
  }
  return std::abs(slope - exact) / terms;
}

// A normalised value hardly depends on a single x or c: its derivative is the rest of terms that cancel, and rounding weighs more.
double slack(const Case& c) { return std::string(c.cell.name) == "layer_norm_lstm" && (c.size.I == 1 || c.size.H == 1) ? 100 : 1; }

void check_double(const Case& c, const Outcome<double>& got, const Expected& expected) {
  for (int o = 0; o < outputs; ++o) {
    CAPTURE(name_of_output(o));
    CHECK(distance(got.values[o], expected.values[o]) < 1e-13);
  }
  for (int i = 0; i < inputs; ++i) {
    CAPTURE(name_of_input(i));
    REQUIRE(int64_t(got.gradients[i].size()) == c.size_of_input(i));
    CHECK(distance_of_slope(got.gradients[i], c.directions[i], expected.slopes[i]) < slack(c) * 1e-13);
  }
}

void check_float(const Case& c, const Outcome<float>& got, const Outcome<double>& exact) {
  for (int o = 0; o < outputs; ++o) {
    CAPTURE(name_of_output(o));
    CHECK(distance(got.values[o], exact.values[o]) < 3e-5);
  }
  for (int i = 0; i < inputs; ++i) {
    CAPTURE(name_of_input(i));
    CHECK(distance(got.gradients[i], exact.gradients[i]) < slack(c) * 3e-5);
  }
}

}  // namespace

void check_exactness(const Case& c, const Ask& ask) { check_exactness(c, ask, expect(c)); }

void check_exactness(const Case& c, const Ask& ask, const Expected& expected) {
  with_every_instruction_set([&](const char* set) {
    INFO(c.name(), " ", std::string(set));
    const Outcome<double> exact = run<double>(c, ask);
    check_double(c, exact, expected);
    check_float(c, run<float>(c, ask), exact);
  });
}

}  // namespace carrousel::test
