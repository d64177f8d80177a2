// How close a case must come to the plain loops.
#pragma once
#include "case.hpp"
#include "reference.hpp"
#include "run.hpp"

namespace carrousel::test {

// In every instruction set: outputs equal the plain loops', gradients equal their slopes, and float equals double, up to rounding.
void check_exactness(const Case& c, const Ask& ask);
// The same with other expected values.
void check_exactness(const Case& c, const Ask& ask, const Expected& expected);

}  // namespace carrousel::test
