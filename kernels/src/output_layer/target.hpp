// What each instruction set offers to dispatch.cpp.
#pragma once
#include "carrousel/output_layer.hpp"

namespace carrousel {

struct OutputLayerTable {
  const char* name;
  void (*f32)(const OutputLayer<float>&);
  void (*f64)(const OutputLayer<double>&);
};

#define CARROUSEL_DECLARE(name)        \
  namespace name {                     \
  extern const OutputLayerTable table; \
  }
CARROUSEL_DECLARE(output_layer_baseline)
CARROUSEL_DECLARE(output_layer_avx2)
CARROUSEL_DECLARE(output_layer_avx512)
CARROUSEL_DECLARE(output_layer_neon)
#undef CARROUSEL_DECLARE

}  // namespace carrousel
