// What each instruction set offers to dispatch.cpp.
#pragma once
#include "carrousel/lstm1997.hpp"

namespace carrousel::lstm1997 {

struct Target {
  const char* name;
  void (*present)(const Network&, const Rule&, const Stop&, Trial*, int64_t, int);
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
