// carrousel._kernels.ShortCall32 and ShortCall64: a forward pass without gradients whose sizes and weights are those of an earlier call.
// carrousel.layers.short_call has found the sizes, and owns and checks x, the states and the outputs.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>

#include "parameters.hpp"

using namespace nb::literals;

namespace {

template <class F>
class ShortCall {
 public:
  // sizes: T, B, step_stride, row_stride, I, H, P; weights: the addresses of W, R, b_x, b_h, per_unit, projection; counts: elements of each
  // parameter
  ShortCall(std::string cell, nb::tuple sizes, nb::tuple weights, nb::object parameters, std::vector<int64_t> counts)
      : cell_(std::move(cell)), parameters_(parameters), of_layer_(nb::cast<const Parameters&>(parameters)), counts_(std::move(counts)) {
    const auto size = [&](size_t k) { return nb::cast<int64_t>(sizes[k]); };
    const auto place = [&](size_t k) { return at<F>(nb::cast<Address>(weights[k])); };
    q_.rows = {.T = size(0), .B = size(1), .step_stride = size(2), .row_stride = size(3)};
    q_.I = size(4);
    q_.H = size(5);
    q_.P = q_.ld_y = size(6);
    q_.W = place(0);
    q_.R = place(1);
    q_.b_x = place(2);
    q_.b_h = place(3);
    q_.per_unit = place(4);
    q_.projection = place(5);
  }

  // False, and nothing happens, if a weight is not where it was, or x has no memory.
  bool run(nb::dict now, nb::handle x, nb::tuple initial, nb::handle y, nb::tuple final, int threads) const {
    carrousel::Sequence<F> q = q_;
    const carrousel::Kernel<F>* kernel = carrousel::find<F>(cell_.c_str());
    q.x = at<F>(nb::cast<Address>(x.attr("data_ptr")()));
    if (!kernel || !q.x || !of_layer_.hold(now) || !of_layer_.are_whole(now, counts_)) return false;
    q.threads = threads;
    q.y = at<F>(address(y));
    Addresses(initial).fill(q.initial);
    Addresses(final).fill(q.final);
    if (2.0 * q.rows.T * q.rows.B * (q.I + q.P) * q.H * kernel->x_rows < worth_releasing_gil) {
      kernel->forward(q);
    } else {
      nb::gil_scoped_release released;
      kernel->forward(q);
    }
    return true;
  }

 private:
  std::string cell_;
  nb::object parameters_;
  const Parameters& of_layer_;
  std::vector<int64_t> counts_;
  carrousel::Sequence<F> q_;
};

template <class F>
void add(nb::module_& m, const char* name) {
  nb::class_<ShortCall<F>>(m, name)
      .def(nb::init<std::string, nb::tuple, nb::tuple, nb::object, std::vector<int64_t>>(), "cell"_a, "sizes"_a, "weights"_a,
           "parameters"_a, "counts"_a)
      .def("run", &ShortCall<F>::run);
}

}  // namespace

void add_short_calls(nb::module_& m) {
  add<float>(m, "ShortCall32");
  add<double>(m, "ShortCall64");
}
