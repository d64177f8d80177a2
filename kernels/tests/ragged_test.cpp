// Rows of any length, sequences split by resets, returned states and gates, and recomputation: equal to the plain loops, and
// nothing is read or written where there is no step.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "exactness.hpp"
#include "reference.hpp"
#include "run.hpp"

namespace carrousel::test {
namespace {

// Sizes around the widths of vectors and tiles; T of 40 has several chunks, and I of 70 several steps of W x at once.
constexpr Size sizes[] = {{5, 7, 3, 17}, {2, 13, 70, 9}, {9, 1, 4, 8}, {40, 21, 2, 5}, {1, 6, 1, 33}};

// Calls run(case) for every cell, size and way, projected where a cell may be.
template <class Run>
void with_cases(Run run) {
  for (const Cell& cell : all_cells())
    for (const Size& size : sizes)
      for (const Way& way : ragged_ways) run(Case(cell, size, way, {.projected = !cell.reads_h && size.I == 3}));
}

TEST_CASE("ragged, split by resets and with gates returned, every cell equals the plain loops") {
  with_cases([](const Case& c) { check_exactness(c, {.gap = 2}); });
}

TEST_CASE("where there is no step, outputs are padding and gradients of x are zero") {
  with_cases([](const Case& c) {
    if (!c.way.lengths) return;
    with_every_instruction_set([&](const char* set) {
      INFO(c.name(), " ", std::string(set));
      const Outcome<float> got = run<float>(c);
      const std::vector<bool> there = c.there();
      const auto check = [&](const std::vector<float>& rows, int64_t width, float value) {
        for (int64_t n = 0; n < c.N() && !rows.empty(); ++n)
          for (int64_t i = 0; i < width && !there[n]; ++i)
            if (rows[n * width + i] != value) FAIL_CHECK("row ", n, " holds ", rows[n * width + i]);
      };
      check(got.values[Y], c.P, float(c.padding));
      for (int o = HISTORY; o < outputs; ++o) check(got.values[o], c.size.H, float(c.padding));
      check(got.gradients[X], c.size.I, 0);
    });
  });
}

TEST_CASE("the same bits for any number of threads, ragged, split by resets and with gates returned") {
  for (const Cell& cell : all_cells())
    for (const Size& size : {Size{40, 13, 20, 65}, Size{6, 3, 70, 330}})
      for (const Way& way : {ragged_ways[1], ragged_ways[2], ragged_ways[4]}) {
        const Case c(cell, size, way);
        with_every_instruction_set([&](const char* set) {
          INFO(c.name(), " ", std::string(set));
          check_same_bits(run<float>(c, {.threads = 3}), run<float>(c));
        });
      }
}

TEST_CASE("what is not saved is computed again, to the same bits") {
  const auto check = [](const Case& c) {
    with_every_instruction_set([&](const char* set) {
      INFO(c.name(), " ", std::string(set));
      check_same_bits(run<float>(c, {.low = true}), run<float>(c));
      check_same_bits(run<double>(c, {.threads = 2, .low = true}), run<double>(c));
    });
  };
  with_cases(check);
  for (const Cell& cell : all_cells())
    for (const Way& way : ways)
      for (const Size& size : sizes) check(Case(cell, size, way, {.projected = !cell.reads_h && size.I == 70}));
}

}  // namespace
}  // namespace carrousel::test
