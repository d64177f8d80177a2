// What each instruction set offers to dispatch.cpp.
#pragma once
#include "carrousel/lstm1997.hpp"

namespace carrousel::lstm1997 {

struct RuleTable {
  const char* name;
  int (*widest)(const Network&, const Block&);  // trials with such blocks that run side by side; 1: each runs alone
  // Runs trials side by side, or a single one.
  void (*present)(const Network&, const Rule&, const Stop&, Trial* const*, int count);
  Online<float>* (*make_f32)(const Network&);
  Online<double>* (*make_f64)(const Network&);
};

}  // namespace carrousel::lstm1997

namespace carrousel {
#define CARROUSEL_DECLARE(name)            \
  namespace name {                         \
  extern const lstm1997::RuleTable target; \
  }
CARROUSEL_DECLARE(lstm1997_baseline)
CARROUSEL_DECLARE(lstm1997_avx2)
CARROUSEL_DECLARE(lstm1997_avx512)
CARROUSEL_DECLARE(lstm1997_neon)
#undef CARROUSEL_DECLARE
}  // namespace carrousel
