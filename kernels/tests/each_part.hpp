// Shared by the tests of the templates.
#pragma once
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "parts.hpp"
#include "run.hpp"

namespace carrousel::test {

// Calls run(parts) for every instruction set of this machine and every width of vector.
template <class F, class Run>
void with_all_parts(Run run) {
  with_every_instruction_set([&](const char* set) {
    for (const Parts<F>* parts = parts_of<F>(set); parts->lanes; ++parts) {
      INFO(std::string(set), ", ", parts->lanes, " lanes");
      run(*parts);
    }
  });
}

// Small integers: every product and sum of them is exact, so that results are equal whatever the order of the terms.
template <class F>
std::vector<F> integers(int64_t n) {
  std::mt19937 random(n);
  std::vector<F> values(n);
  for (F& value : values) value = F(int(random() % 17) - 8);
  return values;
}

}  // namespace carrousel::test
