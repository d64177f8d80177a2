// carrousel._kernels.Stack32, Stream32 and the same for float64: streams behind Python. Addresses and sizes come as integers from
// carrousel.layers.streaming, which owns and has checked every tensor. The GIL is released where a call takes long.
#include "carrousel/stream.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>

#include <string>

#include "parameters.hpp"

using namespace nb::literals;
using namespace carrousel;

namespace {

template <class F>
F* at(nb::handle address) {
  return ::at<F>(nb::cast<Address>(address));
}

// For each layer: I, H, P, W, R, b_x, b_h, per_unit, projection, the constant value of each mask. sources: each with its count. storage: a
// Storage by its number
template <class F>
std::shared_ptr<Stack<F>> stack(const char* cell, nb::list layers, nb::list sources, int storage) {
  std::vector<Sequence<F>> described;
  for (nb::handle one : layers) {
    const nb::tuple from = nb::cast<nb::tuple>(one);
    Sequence<F> q;
    q.storage = Storage(storage);
    q.I = nb::cast<int64_t>(from[0]);
    q.H = nb::cast<int64_t>(from[1]);
    q.P = nb::cast<int64_t>(from[2]);
    q.W = at<F>(from[3]);
    q.R = at<F>(from[4]);
    q.b_x = at<F>(from[5]);
    q.b_h = at<F>(from[6]);
    q.per_unit = at<F>(from[7]);
    q.projection = at<F>(from[8]);
    const nb::tuple masks = nb::cast<nb::tuple>(from[9]);
    q.masks.has_cell_masks = masks.size() > 0;
    for (size_t k = 0; k < masks.size() && k < size_t(max_masks); ++k) q.masks.of_cell[k].otherwise = nb::cast<double>(masks[k]);
    described.push_back(q);
  }
  std::vector<Source<F>> listed;
  for (nb::handle one : sources) {
    const nb::tuple from = nb::cast<nb::tuple>(one);
    listed.push_back({at<F>(from[0]), nb::cast<int64_t>(from[1])});
  }
  return std::make_shared<Stack<F>>(cell, std::move(described), listed);
}

template <class F>
bool run(Stream<F>& stream, Address x, Address y, int64_t T, int64_t step_stride, int64_t row_stride, int threads) {
  const Rows rows{.T = T, .B = stream.B(), .step_stride = step_stride, .row_stride = row_stride};
  const auto call = [&] { return stream.run(reinterpret_cast<const F*>(x), reinterpret_cast<F*>(y), rows, threads); };
  if (stream.stack().operations() * T * stream.B() < worth_releasing_gil) return call();
  nb::gil_scoped_release released;
  return call();
}

// A stream, and the parameters that its weights were packed from.
template <class F>
struct Bound {
  Stream<F> stream;
  nb::object keeps;  // the parameters
  const Parameters& parameters;

  Bound(std::shared_ptr<Stack<F>> stack, nb::object of, int64_t B, const std::vector<F*>& states)
      : stream(std::move(stack), B, states), keeps(of), parameters(nb::cast<const Parameters&>(of)) {}
};

template <class F>
void add(nb::module_& m, const char* precision) {
  const auto named = [&](const char* name) { return std::string(name) + precision; };
  nb::class_<Stack<F>>(m, named("Stack").c_str()).def(nb::new_(&stack<F>), "cell"_a, "layers"_a, "sources"_a, "storage"_a);
  nb::class_<Bound<F>>(m, named("Stream").c_str())
      .def(
          "__init__",
          [](Bound<F>* self, std::shared_ptr<Stack<F>> stack, nb::object parameters, int64_t B, nb::tuple addresses) {
            std::vector<F*> states;
            for (nb::handle address : addresses) states.push_back(at<F>(address));
            new (self) Bound<F>(std::move(stack), std::move(parameters), B, states);
          },
          "stack"_a, "parameters"_a, "B"_a, "states"_a)
      .def(
          "step",
          [](Bound<F>& self, nb::dict parameters, Address x, Address y, int threads) {
            return x && self.parameters.hold(parameters) && run(self.stream, x, y, 1, self.stream.B(), 1, threads);
          },
          "parameters"_a, "x"_a, "y"_a, "threads"_a,
          "x [B, I] -> y [B, P]; False if the weights have changed or x has no memory; then nothing has happened")
      .def(
          "block",
          [](Bound<F>& self, Address x, Address y, int64_t T, int64_t step_stride, int64_t row_stride, int threads) {
            return run(self.stream, x, y, T, step_stride, row_stride, threads);
          },
          "x"_a, "y"_a, "T"_a, "step_stride"_a, "row_stride"_a, "threads"_a,
          "x [T, B, I] -> y [T, B, P]; False if the weights have changed; then nothing has happened");
}

}  // namespace

void add_streams(nb::module_& m) {
  nb::class_<Parameters>(m, "Parameters")
      .def(nb::init<nb::list, nb::list, nb::list, nb::list>(), "names"_a, "parameters"_a, "places"_a, "versions"_a)
      .def("hold", &Parameters::hold, "now"_a);
  add<float>(m, "32");
  add<double>(m, "64");
}
