// carrousel._kernels.cross_entropy_float32 and _float64: the output layer behind Python. carrousel.fused.output_layer has checked every
// tensor.
#include "carrousel/output_layer.hpp"

#include <nanobind/nanobind.h>

#include "tensors.hpp"

using namespace nb::literals;

namespace {

template <class F>
void run(nb::tuple sizes, nb::tuple operands, nb::tuple results, double smoothing, bool bfloat16, int threads) {
  const Addresses from(operands), to(results);
  carrousel::OutputLayer<F> q;
  q.N = nb::cast<int64_t>(sizes[0]);
  q.H = nb::cast<int64_t>(sizes[1]);
  q.V = nb::cast<int64_t>(sizes[2]);
  q.h = at<const F>(from[0]);
  q.W = at<const F>(from[1]);
  q.b = at<const F>(from[2]);
  q.classes = at<const int64_t>(from[3]);
  q.weights = at<const F>(from[4]);
  q.smoothing = F(smoothing);
  q.bfloat16 = bfloat16;
  q.losses = at<F>(to[0]);
  q.dh = at<F>(to[1]);
  q.dW = at<F>(to[2]);
  q.db = at<F>(to[3]);
  q.threads = threads;
  nb::gil_scoped_release released;
  carrousel::cross_entropy(q);
}

}  // namespace

void add_output_layer(nb::module_& m) {
  const char* about = "sizes (N, H, V), operands (h, W, b, classes, weights), results (losses, dh, dW, db); None where there is none";
  m.def("cross_entropy_float32", run<float>, "sizes"_a, "operands"_a, "results"_a, "smoothing"_a, "bfloat16"_a, "threads"_a, about);
  m.def("cross_entropy_float64", run<double>, "sizes"_a, "operands"_a, "results"_a, "smoothing"_a, "bfloat16"_a, "threads"_a, about);
}
