// What each instruction set offers to dispatch.cpp.
#pragma once
#include "carrousel/lstm1997.hpp"

namespace carrousel::lstm1997 {

struct Target {
  const char* name;
  int (*widest)(const Network&, const Block&);  // how many trials with such blocks go side by side; 1: each is for itself
  // Trials that go side by side, or a single one.
  void (*present)(const Network&, const Rule&, const Stop&, Trial* const*, int count);
  Online<float>* (*single)(const Network&);
  Online<double>* (*twice)(const Network&);
};

}  // namespace carrousel::lstm1997

namespace carrousel {
#define CARROUSEL_DECLARE(name)         \
  namespace name {                      \
  extern const lstm1997::Target target; \
  }
CARROUSEL_DECLARE(lstm1997_baseline)
CARROUSEL_DECLARE(lstm1997_avx2)
CARROUSEL_DECLARE(lstm1997_avx512)
CARROUSEL_DECLARE(lstm1997_neon)
#undef CARROUSEL_DECLARE
}  // namespace carrousel
