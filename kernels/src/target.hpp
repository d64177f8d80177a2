// What each instruction set offers to the dispatcher: a table of kernels in each precision, made by target.cpp.
#pragma once
#include "carrousel/sequence.hpp"

namespace carrousel {

struct Target {
  const char* name;
  const Kernel<float>* single;  // ends with a kernel without a cell
  const Kernel<double>* twice;
  const char* flags;            // what it was compiled with
  void (*draw_single)(const Mask&, uint64_t, int64_t, int64_t, int64_t, const int64_t*, float*);
  void (*draw_double)(const Mask&, uint64_t, int64_t, int64_t, int64_t, const int64_t*, double*);
};

#define CARROUSEL_DECLARE(name) \
  namespace name {              \
  extern const Target target;   \
  }
CARROUSEL_DECLARE(baseline)
CARROUSEL_DECLARE(avx2)
CARROUSEL_DECLARE(avx512)
CARROUSEL_DECLARE(neon)
#undef CARROUSEL_DECLARE

}  // namespace carrousel
