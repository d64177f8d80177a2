// Optional arrays: null is neither read nor written, and nothing else changes.
#include <doctest/doctest.h>

#include <string>

#include "reference.hpp"
#include "run.hpp"

namespace carrousel::test {
namespace {

constexpr Size sizes[] = {{5, 7, 3, 17}, {3, 2, 70, 9}};

// Calls run(case) for every cell and each of the sizes, plain, packed, and projected where a cell may be.
template <class Run>
void with_cases(Run run) {
  for (const Cell& cell : all_cells())
    for (const Size& size : sizes)
      for (const bool projected : {false, true}) {
        if (projected && cell.reads_h) continue;
        const Case c(cell, size, projected ? ways[0] : ways[5], {.projected = projected});
        with_every_instruction_set([&](const char* set) {
          INFO(c.name(), " ", std::string(set));
          run(c);
        });
      }
}

TEST_CASE("any gradient may be left out, and any may be asked for alone") {
  with_cases([](const Case& c) {
    const Outcome<float> all = run<float>(c);
    for (int i = 0; i < inputs; ++i) {
      if (!c.size_of_input(i)) continue;
      CAPTURE(name_of_input(i));
      Ask without, alone;
      without.wanted[i] = false;
      alone.wanted.fill(false);
      alone.wanted[i] = true;
      check_same_bits(run<float>(c, without), all);
      check_same_bits(run<float>(c, alone), all);
    }
  });
}

TEST_CASE("a gradient that does not come is zero") {
  with_cases([](const Case& c) {
    for (const bool y : {false, true})
      for (const bool final : {false, true}) {
        Case zeros = c;
        if (!y) std::fill(zeros.d_outputs[Y].begin(), zeros.d_outputs[Y].end(), 0);
        for (int k = 0; k < c.cell.states && !final; ++k)
          std::fill(zeros.d_outputs[FINAL + k].begin(), zeros.d_outputs[FINAL + k].end(), 0);
        const Outcome<float> null = run<float>(c, {.dy = y, .d_final = final}), zero = run<float>(zeros);
        for (int i = 0; i < inputs; ++i) {
          CAPTURE(name_of_input(i));
          CHECK(null.gradients[i] == zero.gradients[i]);  // as numbers: a zero may have either sign
        }
      }
  });
}

TEST_CASE("without a backward pass to come, nothing is saved and the outputs are the same") {
  with_cases([](const Case& c) { check_same_bits(run<float>(c, {.backward = false}), run<float>(c)); });
}

TEST_CASE("rows of y may lie apart") {
  with_cases([](const Case& c) { check_same_bits(run<float>(c, {.gap = 5}), run<float>(c)); });
}

TEST_CASE("an initial state or a bias that is null is zero") {
  with_cases([](const Case& c) {
    const Case absent(c.cell, c.size, c.way, {c.options.projected, false, false});
    Case zeros = absent;
    zeros.options = c.options;  // the same zeros, in an array
    const Outcome<float> null = run<float>(absent), zero = run<float>(zeros);
    for (int o = 0; o < outputs; ++o) CHECK(null.values[o] == zero.values[o]);
    for (int i = 0; i < inputs; ++i) CHECK(null.gradients[i] == zero.gradients[i]);
  });
}

}  // namespace
}  // namespace carrousel::test
