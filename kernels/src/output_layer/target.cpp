// The output layer for one instruction set: this file is compiled once for each, with CARROUSEL_TARGET set to a name of its own.
#include "output_layer/target.hpp"

#include "output_layer/cross_entropy.hpp"

namespace carrousel::CARROUSEL_TARGET {
namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
constexpr const char* name = "avx512";
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
constexpr const char* name = "avx2";
#else
constexpr int vector_bytes = 16;
#if defined(__aarch64__)
constexpr const char* name = "neon";
#else
constexpr const char* name = "baseline";
#endif
#endif

template <class F>
void run(const OutputLayer<F>& q) {
  CrossEntropy<vec<F, vector_bytes / int(sizeof(F))>>(q).run();
}

}  // namespace

extern const OutputLayerTable table = {.name = name, .f32 = run<float>, .f64 = run<double>};

}  // namespace carrousel::CARROUSEL_TARGET
