// Every cell in every layout over awkward sizes: outputs equal the plain loops', gradients equal their slopes.
#include <doctest/doctest.h>

#include <cmath>

#include "reference.hpp"
#include "run.hpp"

namespace carrousel::test {
namespace {

// The furthest that an array is from another, in parts of its largest element; not a number where one of them is none.
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

// How far a gradient's slope in a direction is from the exact one, in parts of the sum of its terms.
double distance_of_slope(const std::vector<double>& gradient, const std::vector<double>& direction, double exact) {
  double slope = 0, terms = 1e-3;
  for (size_t i = 0; i < gradient.size(); ++i) {
    slope += gradient[i] * direction[i];
    terms += std::abs(gradient[i] * direction[i]);
  }
  return std::abs(slope - exact) / terms;
}

void check_double(const Case& c, const Outcome<double>& got, const Expected& expected) {
  for (int o = 0; o < outputs; ++o) {
    CAPTURE(name_of_output(o));
    CHECK(distance(got.values[o], expected.values[o]) < 1e-13);
  }
  for (int i = 0; i < inputs; ++i) {
    CAPTURE(name_of_input(i));
    REQUIRE(int64_t(got.gradients[i].size()) == c.size_of_input(i));
    CHECK(distance_of_slope(got.gradients[i], c.directions[i], expected.slopes[i]) < 1e-13);
  }
}

void check_float(const Outcome<float>& got, const Outcome<double>& exact) {
  for (int o = 0; o < outputs; ++o) {
    CAPTURE(name_of_output(o));
    CHECK(distance(got.values[o], exact.values[o]) < 3e-5);
  }
  for (int i = 0; i < inputs; ++i) {
    CAPTURE(name_of_input(i));
    CHECK(distance(got.gradients[i], exact.gradients[i]) < 3e-5);
  }
}

void check(const Case& c, const Ask& ask) {
  const Expected expected = expect(c);
  with_every_instruction_set([&](const char* set) {
    INFO(c.name(), " ", std::string(set));
    const Outcome<double> exact = run<double>(c, ask);
    check_double(c, exact, expected);
    check_float(run<float>(c, ask), exact);
  });
}

constexpr int64_t units[] = {1, 7, 8, 9, 16, 17, 33, 65};  // around the widths of vectors: one lane, tails, several groups
constexpr int64_t batches[] = {1, 5, 6, 7, 13};            // around the tile's six rows
constexpr int64_t inputs_wide[] = {1, 3, 65, 70};          // over 64, several steps of W x are computed at once
constexpr int64_t lengths[] = {1, 2, 5};

// Every pair of two letters' values occurs among the forty: a fault that needs three at once would have to be seen elsewhere.
Size awkward(int n) {
  const int h = n % 8, b = n / 8;
  return {lengths[(h + 2 * b) % 3], batches[b], inputs_wide[(h + b) % 4], units[h]};
}

void check_awkward_sizes(const Cell& cell, bool projected) {
  for (int n = 0; n < 40; ++n)
    for (int way = 0; way < int(std::size(ways)); ++way) {
      const Options options{projected, (n + way) % 3 != 0, (n + way) % 4 != 0};
      check(Case(cell, awkward(n), ways[way], options), {.gap = (n + way) % 2 * 3});
    }
}

TEST_CASE("every cell equals the plain loops, and its gradients their slopes") {
  for (const Cell& cell : all_cells()) check_awkward_sizes(cell, false);
}

TEST_CASE("a projected cell equals the plain loops, and its gradients their slopes") {
  for (const Cell& cell : all_cells())
    if (!cell.reads_h) check_awkward_sizes(cell, true);
}

// Sizes at which something happens that it does not at small ones.
struct Large {
  const char* why;
  Size size;
};
constexpr Large large[] = {
    {"backward takes several chunks of steps, and the last is short", {23, 29, 3, 9}},
    {"more rows than a chunk holds", {3, 300, 2, 5}},
    {"long sums over I and over P are broken in blocks, panels are several, weights outgrow the cache", {4, 3, 300, 270}},
    {"several steps of W x at once, several times", {60, 2, 70, 5}},
};

TEST_CASE("every cell equals the plain loops at large sizes") {
  for (const Large& wide : large)
    for (const Cell& cell : all_cells()) {
      INFO("at a size where ", std::string(wide.why));
      check(Case(cell, wide.size, ways[5]), {.threads = 2});
      check(Case(cell, wide.size, ways[0], {.projected = !cell.reads_h}), {.threads = 2});
    }
}

TEST_CASE("a batch of no rows leaves everything empty, and zero gradients of the weights") {
  for (const Cell& cell : all_cells()) {
    const Case c(cell, {5, 0, 3, 9});
    with_every_instruction_set([&](const char* set) {
      INFO(c.name(), " ", std::string(set));
      const Outcome<float> got = run<float>(c);
      for (int i : {W, R, B_X, B_H, PER_UNIT}) CHECK(got.gradients[i] == std::vector<float>(c.size_of_input(i)));
    });
  }
}

TEST_CASE("rows of a batch never see each other: not a number stays in its row") {
  for (const Cell& cell : all_cells())
    for (const Size size : {Size{5, 7, 3, 17}, Size{5, 7, 70, 9}}) {
      Case c(cell, size);
      const Outcome<float> clean = run<float>(c, {.backward = false});
      constexpr int64_t row = 3, t = 2;
      c.values[X][c.at(t, row) * size.I] = NAN;
      with_every_instruction_set([&](const char* set) {
        INFO(c.name(), " ", std::string(set));
        const Outcome<float> without = run<float>(Case(cell, size), {.backward = false}), got = run<float>(c, {.backward = false});
        for (int64_t n = 0; n < c.N(); ++n) {
          const bool struck = n % size.B == row && n / size.B >= t;
          for (int64_t h = 0; h < size.H; ++h) {
            const float y = got.values[Y][n * size.H + h];
            if (struck ? !std::isnan(y) : y != without.values[Y][n * size.H + h]) FAIL_CHECK("step ", n / size.B, ", row ", n % size.B);
          }
        }
      });
    }
}

}  // namespace
}  // namespace carrousel::test
