// carrousel._kernels: the kernels behind Python. Pointers and sizes come in as integers from carrousel.fused, which owns and
// has checked every tensor; nothing is computed here. The GIL is released while a kernel runs.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "carrousel/own.hpp"
#include "carrousel/sequence.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using carrousel::Gradients;
using carrousel::Kernel;
using carrousel::Mask;
using carrousel::Sequence;
using Address = uintptr_t;  // of a tensor's data; 0 for an absent one

void add_lstm1997(nb::module_& parent);  // lstm1997.cpp
void add_streams(nb::module_& m);         // stream.cpp

namespace {

template <class F>
F* at(Address address) {
  return reinterpret_cast<F*>(address);
}

template <class F>
void fill(F* (&to)[carrousel::max_states], nb::tuple from) {
  if (from.size() > size_t(carrousel::max_states)) throw std::invalid_argument("a cell has fewer states");
  for (size_t k = 0; k < from.size(); ++k) to[k] = at<F>(nb::cast<Address>(from[k]));
}

template <class Pointer>
std::vector<Pointer> addresses(nb::tuple from) {
  std::vector<Pointer> to;
  for (size_t k = 0; k < from.size(); ++k) to.push_back(reinterpret_cast<Pointer>(nb::cast<Address>(from[k])));
  return to;
}

template <class F>
const Kernel<F>& kernel(const char* cell) {
  const Kernel<F>* found = carrousel::find<F>(cell);
  if (!found) throw std::invalid_argument(std::string("no kernel for the cell '") + cell + "'");
  return *found;
}

// A mask: threshold, taken, left
Mask mask(nb::handle from) {
  const nb::tuple mask = nb::cast<nb::tuple>(from);
  return {nb::cast<uint32_t>(mask[0]), nb::cast<double>(mask[1]), nb::cast<double>(mask[2])};
}

// Nothing, or: seed, first_stream, rows, masks, fed_back
carrousel::Noise noise(nb::tuple from, int masks_of_cell) {
  carrousel::Noise noise;
  if (!from.size()) return noise;
  const nb::tuple masks = nb::cast<nb::tuple>(from[3]);
  if (masks.size() && masks.size() != size_t(masks_of_cell)) throw std::invalid_argument("the cell has another number of masks");
  noise.seed = nb::cast<uint64_t>(from[0]), noise.first_stream = nb::cast<int64_t>(from[1]);
  noise.rows = at<const int64_t>(nb::cast<Address>(from[2]));
  noise.masks_given = masks.size() > 0;
  for (size_t k = 0; k < masks.size(); ++k) noise.masks[k] = mask(masks[k]);
  if (!from[4].is_none()) noise.fed_back = mask(from[4]);
  return noise;
}

// sizes: T, B, step_stride, row_stride, reverse, I, H, P, ld_y, threads, bfloat16
// inputs: batch_sizes, x, W, R, b_x, b_h, per_unit, projection, lengths, offsets, resets
// outputs: y, kept, unprojected
// gates: nothing, or where each value that is shown lies; they live as long as the vector behind them
template <class F>
Sequence<F> sequence(nb::tuple sizes, nb::tuple inputs, nb::tuple outputs, nb::tuple initial, nb::tuple restored, nb::tuple final,
                     nb::tuple history) {
  Sequence<F> q;
  const auto size = [&](int k) { return nb::cast<int64_t>(sizes[k]); };
  const auto input = [&](int k) { return nb::cast<Address>(inputs[k]); };
  const auto output = [&](int k) { return at<F>(nb::cast<Address>(outputs[k])); };
  q.rows = {size(0),
            size(1),
            size(2),
            size(3),
            at<int64_t>(input(0)),
            size(4) != 0,
            at<int64_t>(input(8)),
            at<int64_t>(input(9)),
            at<uint8_t>(input(10))};
  q.I = size(5), q.H = size(6), q.P = size(7), q.ld_y = size(8), q.threads = int(size(9)), q.bfloat16 = size(10) != 0;
  q.x = at<F>(input(1)), q.W = at<F>(input(2)), q.R = at<F>(input(3)), q.b_x = at<F>(input(4)), q.b_h = at<F>(input(5));
  q.per_unit = at<F>(input(6)), q.projection = at<F>(input(7));
  q.y = output(0), q.kept = output(1), q.unprojected = output(2);
  fill(q.initial, initial);
  fill(q.restored, restored);
  fill(q.final, final);
  fill(q.history, history);
  return q;
}

template <class F>
void forward(const char* cell, nb::tuple sizes, nb::tuple inputs, nb::tuple outputs, nb::tuple initial, nb::tuple restored, nb::tuple final,
             nb::tuple history, double padding, bool histories_shown, nb::tuple gates, nb::tuple noise_of) {
  const Kernel<F>& k = kernel<F>(cell);
  Sequence<F> q = sequence<F>(sizes, inputs, outputs, initial, restored, final, history);
  const std::vector<F*> gate_addresses = addresses<F*>(gates);
  q.padding = F(padding), q.histories_shown = histories_shown, q.noise = noise(noise_of, k.masks);
  if (gates.size()) q.gates = gate_addresses.data();
  nb::gil_scoped_release released;
  k.forward(q);
}

// d_outputs: dy, ld_dy; gradients: dx, dW, dR, db_x, db_h, d_per_unit, d_projection
template <class F>
void backward(const char* cell, nb::tuple sizes, nb::tuple inputs, nb::tuple outputs, nb::tuple initial, nb::tuple restored,
              nb::tuple history, nb::tuple d_outputs, nb::tuple d_final, nb::tuple gradients, nb::tuple d_initial, nb::tuple d_restored,
              bool histories_shown, nb::tuple gates, nb::tuple d_history, nb::tuple d_gates, nb::tuple noise_of) {
  const Kernel<F>& k = kernel<F>(cell);
  Sequence<F> q = sequence<F>(sizes, inputs, outputs, initial, restored, nb::tuple(), history);
  const std::vector<F*> gate_addresses = addresses<F*>(gates);
  const std::vector<const F*> d_gate_addresses = addresses<const F*>(d_gates);
  q.histories_shown = histories_shown, q.noise = noise(noise_of, k.masks);
  if (gates.size()) q.gates = gate_addresses.data();
  const auto gradient = [&](int i) { return at<F>(nb::cast<Address>(gradients[i])); };
  Gradients<F> d;
  d.dy = at<F>(nb::cast<Address>(d_outputs[0])), d.ld_dy = nb::cast<int64_t>(d_outputs[1]);
  d.dx = gradient(0), d.dW = gradient(1), d.dR = gradient(2), d.db_x = gradient(3), d.db_h = gradient(4);
  d.d_per_unit = gradient(5), d.d_projection = gradient(6);
  fill(d.d_final, d_final);
  fill(d.d_initial, d_initial);
  fill(d.d_restored, d_restored);
  fill(d.d_history, d_history);
  if (d_gates.size()) d.d_gates = d_gate_addresses.data();
  nb::gil_scoped_release released;
  k.backward(q, d);
}

template <class F>
void draw(nb::handle of, uint64_t seed, int64_t stream, int64_t rows, int64_t columns, Address numbers, Address values) {
  const Mask how = mask(of);
  nb::gil_scoped_release released;
  carrousel::draw<F>(how, seed, stream, rows, columns, at<const int64_t>(numbers), at<F>(values));
}

template <class F>
nb::object describe(const char* cell) {
  const Kernel<F>* k = carrousel::find<F>(cell);
  if (!k) return nb::none();
  nb::list history;
  for (int s = 0; s < k->states; ++s) history.append(bool(k->history[s]));
  nb::list shown;
  for (int i = 0; i < k->shown; ++i) shown.append(k->shown_names[i]);
  return nb::make_tuple(k->states, nb::tuple(history), nb::tuple(shown), k->keeps_more);
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const char* const* name = carrousel::instruction_sets(); *name; ++name) names.push_back(*name);
  return names;
}

}  // namespace

NB_MODULE(_kernels, m) {
  // A layer that something keeps until the interpreter ends, such as a cache, is no leak: nanobind would call what it has compiled one.
  nb::set_leak_warnings(false);
  m.doc() = "Fused kernels of the cells: carrousel.fused calls them.";
  m.def("forward_float32", forward<float>);
  m.def("forward_float64", forward<double>);
  m.def("backward_float32", backward<float>);
  m.def("backward_float64", backward<double>);
  m.def("draw_float32", draw<float>);
  m.def("draw_float64", draw<double>);
  m.def("describe", describe<float>, "cell"_a,
        "(number of states, which of them backward reads, what a caller is shown of each unit, whether other things are kept in its "
        "place), or None "
        "without a kernel");
  m.def(
      "kept_size",
      [](const char* cell, int64_t H, int64_t I, bool single) {
        return single ? kernel<float>(cell).kept_size(H, I) : kernel<double>(cell).kept_size(H, I);
      },
      "cell"_a, "H"_a, "I"_a, "single"_a);
  m.def("instruction_set", carrousel::instruction_set);
  m.def("instruction_sets", instruction_sets, "those this machine can run, best first");
  m.def("use_instruction_set", carrousel::use_instruction_set, "name"_a);
  m.def(
      "add", [](Address target) { carrousel::add(*at<const carrousel::Target>(target)); }, "target"_a,
      "take up the cells of a library compiled at run time, which stays loaded: what its carrousel_target() returned");
  m.def("compile_flags", carrousel::compile_flags, "what the kernels in force were compiled with");
  m.def("interface_digest", carrousel::interface_digest, "of sequence.hpp and target.hpp");
  add_lstm1997(m);
  add_streams(m);
}
