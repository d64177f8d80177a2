// What each instruction set offers to dispatch.cpp: a table of kernels in each precision, made by target.cpp.
#pragma once
#include "carrousel/sequence.hpp"

namespace carrousel {

struct Target {
  const char* name;
  const Kernel<float>* f32;  // ends with a kernel without a name
  const Kernel<double>* f64;
  const char* flags;         // compiler flags
  void (*sample_f32)(const Mask&, uint64_t, int64_t, int64_t, int64_t, const int64_t*, float*);
  void (*sample_f64)(const Mask&, uint64_t, int64_t, int64_t, int64_t, const int64_t*, double*);
  float (*spend)(int64_t operations, int64_t* done);  // peak.hpp
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
