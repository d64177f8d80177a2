// Every cell over time in plain loops, one number at a time, in double. The cells' equations are the generated ones; nothing else is
// shared with the kernels. Gradients are not taken from the generated derivatives: each number carries its slopes along, so that one
// pass gives the exact slope of the loss in a direction of each input.
#pragma once
#include <array>
#include <span>
#include <vector>

#include "case.hpp"

namespace carrousel::test {

struct Expected {
  std::array<std::vector<double>, outputs> values;
  std::array<double, inputs> slopes{};  // of the loss, in the case's direction of each input
};

Expected expect(const Case& c);
std::span<const Cell> all_cells();
const Cell& cell_named(const char* name);

}  // namespace carrousel::test
