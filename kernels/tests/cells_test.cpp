// Every cell in every layout over awkward sizes: outputs equal the plain loops', gradients equal their slopes.
#include <doctest/doctest.h>

#include <cmath>

#include "exactness.hpp"
#include "guarded.hpp"
#include "reference.hpp"
#include "run.hpp"

namespace carrousel::test {
namespace {

constexpr int64_t units[] = {1, 7, 8, 9, 16, 17, 33, 65};  // around the widths of vectors: one lane, tails, several groups
constexpr int64_t batches[] = {1, 5, 6, 7, 13};            // around the tile's six rows
constexpr int64_t inputs_wide[] = {1, 3, 65, 70};          // over 64, several steps of W x are computed at once
constexpr int64_t lengths[] = {1, 2, 5};

// Every pair of two letters' values occurs among the forty; a fault that needs three at once must be found elsewhere.
Size awkward(int n) {
  const int h = n % 8, b = n / 8;
  return {lengths[(h + 2 * b) % 3], batches[b], inputs_wide[(h + b) % 4], units[h]};
}

void check_awkward_sizes(const Cell& cell, bool projected) {
  for (int n = 0; n < 40; ++n)
    for (int way = 0; way < int(std::size(ways)); ++way) {
      if (sanitized && way % 3 != n % 3) continue;  // each size in two of the six ways, because sanitizers are slow
      const Options options{projected, (n + way) % 3 != 0, (n + way) % 4 != 0};
      check_exactness(Case(cell, awkward(n), ways[way], options), {.gap = (n + way) % 2 * 3});
    }
}

TEST_CASE("every cell equals the plain loops, and its gradients their slopes") {
  for (const Cell& cell : all_cells()) check_awkward_sizes(cell, false);
}

TEST_CASE("a projected cell equals the plain loops, and its gradients their slopes") {
  for (const Cell& cell : all_cells())
    if (!cell.reads_h) check_awkward_sizes(cell, true);
}

// Sizes at which code runs that small ones do not reach.
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
      check_exactness(Case(cell, wide.size, ways[5]), {.threads = 2});
      check_exactness(Case(cell, wide.size, ways[0], {.projected = !cell.reads_h}), {.threads = 2});
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
