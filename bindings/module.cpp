// carrousel._kernels: the kernels behind Python. Addresses and sizes come as integers from carrousel.fused, which owns and has
// checked every tensor; nothing is computed here. The GIL is released while a kernel runs.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "carrousel/custom_cell.hpp"
#include "carrousel/sequence.hpp"
#include "tensors.hpp"

using namespace nb::literals;
using carrousel::Gradients;
using carrousel::Kernel;
using carrousel::Mask;
using carrousel::Sequence;

void add_large_blocks(nb::module_& m);    // large_blocks.cpp
void add_lstm1997(nb::module_& parent);  // lstm1997.cpp
void add_output_layer(nb::module_& m);   // output_layer.cpp
void add_short_calls(nb::module_& m);     // short_call.cpp
void add_streams(nb::module_& m);         // stream.cpp

namespace {

template <class F>
const Kernel<F>& kernel(const char* cell) {
  const Kernel<F>* found = carrousel::find<F>(cell);
  if (!found) throw std::invalid_argument(std::string("no kernel for the cell '") + cell + "'");
  return *found;
}

// The fields of named tuples of Python's, in their order there: tests/fused/test_bindings.py compares them.
enum class Sizes { T, B, step_stride, row_stride, reverse, I, H, P, bfloat16, heads };                     // carrousel.fused.plan
enum class Rows { batch_first, reverse, batch_sizes, lengths, offsets, resets, padding_value };            // carrousel.scan.rows
enum class Weights { W, R, b_x, b_h, c, P };                                                               // carrousel.scan.weights
enum class MaskNumbers { threshold, chosen, otherwise };                                                   // carrousel.fused.call
enum class MasksOfCall { seed, first_stream, row_numbers, of_cell, fed_back, of_weights };                 // carrousel.fused.call

// A named tuple, read by its fields.
template <class Field>
class Fields {
 public:
  explicit Fields(nb::handle values) : values_(nb::cast<nb::tuple>(values)) {}
  nb::object operator[](Field field) const { return nb::object(values_[size_t(field)]); }
  template <class Number = int64_t>
  Number number(Field field) const {
    return nb::cast<Number>((*this)[field]);
  }
  template <class F>
  F* data(Field field) const {
    return at<F>(address((*this)[field]));
  }

 private:
  nb::tuple values_;
};

Mask mask(nb::handle from) {
  const Fields<MaskNumbers> mask(from);
  return {mask.number<uint32_t>(MaskNumbers::threshold), mask.number<double>(MaskNumbers::chosen),
          mask.number<double>(MaskNumbers::otherwise)};
}

// None: nothing is sampled.
carrousel::RandomMasks random_masks(nb::handle from, int masks_of_cell) {
  carrousel::RandomMasks masks;
  if (from.is_none()) return masks;
  const Fields<MasksOfCall> given(from);
  const nb::tuple of_cell = nb::cast<nb::tuple>(given[MasksOfCall::of_cell]);
  if (of_cell.size() && of_cell.size() != size_t(masks_of_cell)) throw std::invalid_argument("the cell has another number of masks");
  masks.seed = given.number<uint64_t>(MasksOfCall::seed);
  masks.first_stream = given.number(MasksOfCall::first_stream);
  masks.rows = given.data<const int64_t>(MasksOfCall::row_numbers);
  masks.has_cell_masks = of_cell.size() > 0;
  for (size_t k = 0; k < of_cell.size(); ++k) masks.of_cell[k] = mask(of_cell[k]);
  if (const nb::object h = given[MasksOfCall::fed_back]; !h.is_none()) masks.fed_back = mask(h);
  if (const nb::object R = given[MasksOfCall::of_weights]; !R.is_none()) masks.of_weights = mask(R);
  return masks;
}

// What forward and backward have in common. y, written or read, comes apart from these: see there.
// saved: what is saved for backward, of so many pairs; parts: where in a pair's numbers each part of it begins (carrousel.fused.plan)
// histories: of the states but the first, where they are returned
template <class F>
Sequence<F> sequence(nb::tuple sizes, nb::handle x, nb::tuple states, nb::tuple weights, nb::tuple rows, nb::tuple restored, int64_t ld_y,
                     nb::handle saved, int64_t pairs, nb::tuple parts, nb::tuple histories, int threads) {
  const Fields<Sizes> size(sizes);
  const Fields<Rows> row(rows);
  const Fields<Weights> weight(weights);
  Sequence<F> q;
  q.rows = {.T = size.number(Sizes::T),
            .B = size.number(Sizes::B),
            .step_stride = size.number(Sizes::step_stride),
            .row_stride = size.number(Sizes::row_stride),
            .batch_sizes = row.data<const int64_t>(Rows::batch_sizes),
            .reverse = size.number(Sizes::reverse) != 0,
            .lengths = row.data<const int64_t>(Rows::lengths),
            .offsets = row.data<const int64_t>(Rows::offsets),
            .resets = row.data<const uint8_t>(Rows::resets)};
  q.I = size.number(Sizes::I);
  q.H = size.number(Sizes::H);
  q.P = size.number(Sizes::P);
  q.bfloat16 = size.number(Sizes::bfloat16) != 0;
  q.heads = int(size.number(Sizes::heads));
  q.ld_y = ld_y;
  q.threads = threads;
  q.x = at<F>(address_to_read(x));
  q.W = weight.data<F>(Weights::W);
  q.R = weight.data<F>(Weights::R);
  q.b_x = weight.data<F>(Weights::b_x);
  q.b_h = weight.data<F>(Weights::b_h);
  q.per_unit = weight.data<F>(Weights::c);
  q.projection = weight.data<F>(Weights::P);
  Addresses(states).fill(q.initial);
  Addresses(restored).fill(q.restored);
  if (F* const first = at<F>(address(saved))) {
    const auto part = [&](size_t k) {
      const int64_t start = nb::cast<int64_t>(parts[k]);
      return start < 0 ? nullptr : first + start * pairs;
    };
    q.saved = part(0);
    q.unprojected = part(1);
    for (size_t k = 2; k < parts.size() && k < size_t(2 + carrousel::max_states); ++k) q.history[k - 2] = part(k);
  }
  const Addresses shown(histories);
  q.histories_shown = shown.size() > 0;
  shown.fill(q.history, 1);
  return q;
}

template <class F>
void forward(const char* cell, nb::tuple sizes, nb::handle x, nb::tuple states, nb::tuple weights, nb::tuple rows, nb::tuple restored,
             nb::handle y, int64_t ld_y, nb::handle saved, int64_t pairs, nb::tuple parts, nb::tuple final, nb::tuple histories,
             nb::tuple gates, nb::handle masks, int threads) {
  const Kernel<F>& k = kernel<F>(cell);
  Sequence<F> q = sequence<F>(sizes, x, states, weights, rows, restored, ld_y, saved, pairs, parts, histories, threads);
  q.y = at<F>(address(y));
  Addresses(final).fill(q.final);
  const std::vector<F*> gate_addresses = Addresses(gates).all<F>();
  q.padding = F(Fields<Rows>(rows).number<double>(Rows::padding_value));
  q.masks = random_masks(masks, k.masks);
  if (gate_addresses.size()) q.gates = gate_addresses.data();
  nb::gil_scoped_release released;
  k.forward(q);
}

// gradients: of x, of the initial states, of each of Weights, and of the restored states
template <class F>
void backward(const char* cell, nb::tuple sizes, nb::handle x, nb::tuple states, nb::tuple weights, nb::tuple rows, nb::tuple restored,
              nb::handle y, int64_t ld_y, nb::handle saved, int64_t pairs, nb::tuple parts, nb::tuple histories, nb::tuple gates,
              nb::handle dy, int64_t ld_dy, nb::tuple d_final, nb::tuple d_histories, nb::tuple d_gates, nb::tuple gradients,
              nb::handle masks, int threads) {
  const Kernel<F>& k = kernel<F>(cell);
  Sequence<F> q = sequence<F>(sizes, x, states, weights, rows, restored, ld_y, saved, pairs, parts, histories, threads);
  q.y = at<F>(address_to_read(y));
  const std::vector<F*> gate_addresses = Addresses(gates).all<F>();
  const std::vector<const F*> d_gate_addresses = Addresses(d_gates).all<const F>();
  q.masks = random_masks(masks, k.masks);
  if (gate_addresses.size()) q.gates = gate_addresses.data();
  Gradients<F> d;
  d.dy = at<F>(address(dy));
  d.ld_dy = ld_dy;
  Addresses(d_final).fill(d.d_final);
  Addresses(d_histories).fill(d.d_history, 1);
  if (d_gate_addresses.size()) d.d_gates = d_gate_addresses.data();
  const Addresses to(gradients);
  const size_t n_states = states.size(), n_weights = weights.size();
  if (to.size() != 1 + n_states + n_weights + restored.size()) throw std::invalid_argument("a gradient for each input");
  const auto of_weight = [&](Weights field) { return at<F>(to[1 + n_states + size_t(field)]); };
  d.dx = at<F>(to[0]);
  to.fill(d.d_initial, 1, n_states);
  d.dW = of_weight(Weights::W);
  d.dR = of_weight(Weights::R);
  d.db_x = of_weight(Weights::b_x);
  d.db_h = of_weight(Weights::b_h);
  d.d_per_unit = of_weight(Weights::c);
  d.d_projection = of_weight(Weights::P);
  to.fill(d.d_restored, 1 + n_states + n_weights, restored.size());
  nb::gil_scoped_release released;
  k.backward(q, d);
}

template <class F>
void add_passes(nb::module_& m, const char* forward_name, const char* backward_name) {
  m.def(forward_name, forward<F>, "cell"_a, "sizes"_a, "x"_a, "states"_a, "weights"_a, "rows"_a, "restored"_a, "y"_a, "ld_y"_a,
        "saved"_a.none(), "pairs"_a, "parts"_a, "final"_a, "histories"_a, "gates"_a, "masks"_a.none(), "threads"_a);
  m.def(backward_name, backward<F>, "cell"_a, "sizes"_a, "x"_a, "states"_a, "weights"_a, "rows"_a, "restored"_a, "y"_a, "ld_y"_a, "saved"_a,
        "pairs"_a, "parts"_a, "histories"_a, "gates"_a, "dy"_a.none(), "ld_dy"_a, "d_final"_a, "d_histories"_a, "d_gates"_a, "gradients"_a,
        "masks"_a.none(), "threads"_a);
}

template <class F>
void draw(nb::handle of, uint64_t seed, int64_t stream, int64_t rows, int64_t columns, Address numbers, Address values) {
  const Mask how = mask(of);
  nb::gil_scoped_release released;
  carrousel::sample_mask<F>(how, seed, stream, rows, columns, at<const int64_t>(numbers), at<F>(values));
}

template <class F>
nb::object describe(const char* cell) {
  const Kernel<F>* k = carrousel::find<F>(cell);
  if (!k) return nb::none();
  nb::list history;
  for (int s = 0; s < k->states; ++s) history.append(bool(k->history[s]));
  nb::list shown;
  for (int i = 0; i < k->shown; ++i) shown.append(k->shown_names[i]);
  return nb::make_tuple(k->states, nb::tuple(history), nb::tuple(shown), k->saves_more);
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const char* const* name = carrousel::instruction_sets(); *name; ++name) names.push_back(*name);
  return names;
}

}  // namespace

NB_MODULE(_kernels, m) {
  // A layer that a cache holds until the interpreter ends is not a leak; nanobind would report it as one.
  nb::set_leak_warnings(false);
  m.doc() = "Fused kernels of the cells: carrousel.fused calls them.";
  add_passes<float>(m, "forward_float32", "backward_float32");
  add_passes<double>(m, "forward_float64", "backward_float64");
  m.def("look", look, "tensors"_a, "dtype"_a, "plain"_a);
  m.def("draw_float32", draw<float>);
  m.def("draw_float64", draw<double>);
  m.def("describe", describe<float>, "cell"_a,
        "(number of states, which of them backward reads, names of the returned values, whether backward needs other values too), "
        "or None if there is no kernel");
  m.def(
      "saved_size",
      [](const char* cell, int64_t H, int64_t I, bool single) {
        return single ? kernel<float>(cell).saved_size(H, I) : kernel<double>(cell).saved_size(H, I);
      },
      "cell"_a, "H"_a, "I"_a, "single"_a);
  m.def("instruction_set", carrousel::instruction_set);
  m.def("instruction_sets", instruction_sets, "the instruction sets that this machine can run, best first");
  m.def("use_instruction_set", carrousel::use_instruction_set, "name"_a);
  m.def("peak_gflops", carrousel::peak_gflops, "threads"_a, "what the instruction set in force can do at most, in float");
  m.def(
      "add", [](Address target) { carrousel::add(*at<const carrousel::Target>(target)); }, "target"_a,
      "register the cells of a library compiled at run time, which must stay loaded; target: the result of its carrousel_target()");
  m.def("compile_flags", carrousel::compile_flags, "the compiler flags of the kernels in force");
  m.def("interface_digest", carrousel::interface_digest, "digest of sequence.hpp and target.hpp");
  add_large_blocks(m);
  add_lstm1997(m);
  add_output_layer(m);
  add_short_calls(m);
  add_streams(m);
}
