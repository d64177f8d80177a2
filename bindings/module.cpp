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

namespace nb = nanobind;
using namespace nb::literals;
using carrousel::Gradients;
using carrousel::Kernel;
using carrousel::Mask;
using carrousel::Sequence;
using Address = uintptr_t;  // of a tensor's data; 0 for None

void add_lstm1997(nb::module_& parent);  // lstm1997.cpp
void add_streams(nb::module_& m);        // stream.cpp

namespace {

template <class F>
F* at(Address address) {
  return reinterpret_cast<F*>(address);
}

// The address of a tensor's data; 0 for None. A tensor that has elements but no memory would pass for None: it is an error.
Address address(nb::handle tensor) {
  static const nb::object& data_ptr = *new nb::str("data_ptr");
  if (tensor.is_none()) return 0;
  const Address found = nb::cast<Address>(tensor.attr(data_ptr)());
  if (!found && nb::cast<int64_t>(tensor.attr("numel")())) throw std::invalid_argument("a tensor has no memory: tensor.clone() has");
  return found;
}

// The address of a tensor's data for reading only. data_ptr would copy a tensor that shares its memory until it is written to, as
// the outputs of our layers do (copied_when_written in carrousel.fused.autograd); torch's _data_address is where its storage
// begins.
Address address_to_read(nb::handle tensor) {
  static const nb::object& torchs = *new nb::object(nb::module_::import_("torch").attr("_C"));
  static const nb::object& is_shared = *new nb::object(torchs.attr("_is_cow_tensor"));
  if (!nb::cast<bool>(is_shared(tensor))) return address(tensor);
  const int64_t offset = nb::cast<int64_t>(tensor.attr("storage_offset")()) * nb::cast<int64_t>(tensor.attr("itemsize"));
  return nb::cast<Address>(torchs.attr("_data_address")(tensor)) + Address(offset);
}

// The addresses of tensors.
class Addresses {
 public:
  explicit Addresses(nb::tuple tensors) : tensors_(tensors) {}
  size_t size() const { return tensors_.size(); }
  Address operator[](size_t k) const { return address(nb::object(tensors_[k])); }

  // Writes `count` of them, from `first` on, to places from `to` on.
  template <class F>
  void fill(F* (&places)[carrousel::max_states], size_t first, size_t count, size_t to = 0) const {
    if (to + count > size_t(carrousel::max_states)) throw std::invalid_argument("a cell has fewer states");
    for (size_t k = 0; k < count; ++k) places[to + k] = at<F>((*this)[first + k]);
  }
  template <class F>
  void fill(F* (&places)[carrousel::max_states], size_t to = 0) const {
    fill(places, 0, size(), to);
  }
  template <class F>
  std::vector<F*> all() const {
    std::vector<F*> found;
    for (size_t k = 0; k < size(); ++k) found.push_back(at<F>((*this)[k]));
    return found;
  }

 private:
  nb::tuple tensors_;
};

enum { same_type = 1, in_order = 2, needs_grad = 4, wrapped = 8, lazy = 16 };

// 0 unless all tensors (except None) have the dtype and are on the CPU; else `same_type`, with `in_order` if all are contiguous,
// `needs_grad` if one requires a gradient, `wrapped` if one is not of the types `plain`, Tensor and Parameter, and `lazy` if the
// memory of one does not hold its numbers: torch negates them when they are read, or knows them to be zeros. From Python each look
// costs twice as much, and a small network has forty.
int look(nb::tuple tensors, nb::handle dtype, nb::tuple plain) {
  struct Names {
    nb::str dtype{"dtype"}, is_cpu{"is_cpu"}, is_contiguous{"is_contiguous"}, requires_grad{"requires_grad"}, is_neg{"is_neg"},
        is_zero{"_is_zerotensor"};
  };
  static const Names& its = *new Names;
  int all = same_type | in_order;
  for (nb::handle tensor : tensors) {
    if (tensor.is_none()) continue;
    if (!nb::object(tensor.attr(its.dtype)).is(dtype) || !nb::cast<bool>(tensor.attr(its.is_cpu))) return 0;
    if (!tensor.type().is(plain[0]) && !tensor.type().is(plain[1])) {
      all |= wrapped;
    } else {
      if (!nb::cast<bool>(tensor.attr(its.is_contiguous)())) all &= ~in_order;
      if (nb::cast<bool>(tensor.attr(its.is_neg)()) || nb::cast<bool>(tensor.attr(its.is_zero)())) all |= lazy;
    }
    if (nb::cast<bool>(tensor.attr(its.requires_grad))) all |= needs_grad;
  }
  return all;
}

template <class F>
const Kernel<F>& kernel(const char* cell) {
  const Kernel<F>* found = carrousel::find<F>(cell);
  if (!found) throw std::invalid_argument(std::string("no kernel for the cell '") + cell + "'");
  return *found;
}

// A mask: threshold, below, otherwise
Mask mask(nb::handle from) {
  const nb::tuple mask = nb::cast<nb::tuple>(from);
  return {nb::cast<uint32_t>(mask[0]), nb::cast<double>(mask[1]), nb::cast<double>(mask[2])};
}

// Empty, or: seed, first_stream, rows, masks, fed_back, of_weights
carrousel::RandomMasks random_masks(nb::tuple from, int masks_of_cell) {
  carrousel::RandomMasks masks;
  if (!from.size()) return masks;
  const nb::tuple cell_masks = nb::cast<nb::tuple>(from[3]);
  if (cell_masks.size() && cell_masks.size() != size_t(masks_of_cell)) throw std::invalid_argument("the cell has another number of masks");
  masks.seed = nb::cast<uint64_t>(from[0]);
  masks.first_stream = nb::cast<int64_t>(from[1]);
  masks.rows = at<const int64_t>(address(nb::object(from[2])));
  masks.has_cell_masks = cell_masks.size() > 0;
  for (size_t k = 0; k < cell_masks.size(); ++k) masks.of_cell[k] = mask(cell_masks[k]);
  if (!from[4].is_none()) masks.fed_back = mask(from[4]);
  if (!from[5].is_none()) masks.of_weights = mask(from[5]);
  return masks;
}

// sizes: T, B, step_stride, row_stride, reverse, I, H, P, bfloat16, heads, ld_y, threads
// inputs: batch_sizes, x, W, R, b_x, b_h, per_unit, projection, lengths, offsets, resets
// outputs: y; what is saved, for how many pairs, and where in a pair's numbers each part of it begins (carrousel.fused.plan)
// histories: of the states but the first, if they are returned
template <class F>
Sequence<F> sequence(nb::tuple sizes, nb::tuple inputs, nb::tuple outputs, nb::tuple initial, nb::tuple restored, nb::tuple histories,
                     bool reads_y) {
  Sequence<F> q;
  const auto size = [&](int k) { return nb::cast<int64_t>(sizes[k]); };
  const Addresses from(inputs);
  const auto input = [&](size_t k) { return at<F>(from[k]); };
  q.rows = {.T = size(0),
            .B = size(1),
            .step_stride = size(2),
            .row_stride = size(3),
            .batch_sizes = at<const int64_t>(from[0]),
            .reverse = size(4) != 0,
            .lengths = at<const int64_t>(from[8]),
            .offsets = at<const int64_t>(from[9]),
            .resets = at<const uint8_t>(from[10])};
  q.I = size(5);
  q.H = size(6);
  q.P = size(7);
  q.bfloat16 = size(8) != 0;
  q.heads = int(size(9));
  q.ld_y = size(10);
  q.threads = int(size(11));
  q.x = at<F>(address_to_read(nb::object(inputs[1])));
  q.W = input(2);
  q.R = input(3);
  q.b_x = input(4);
  q.b_h = input(5);
  q.per_unit = input(6);
  q.projection = input(7);
  Addresses(initial).fill(q.initial);
  Addresses(restored).fill(q.restored);
  const Addresses to(outputs);
  q.y = at<F>(reads_y ? address_to_read(nb::object(outputs[0])) : to[0]);
  if (F* const saved = at<F>(to[1])) {
    const int64_t pairs = nb::cast<int64_t>(outputs[2]);
    const nb::tuple starts = nb::cast<nb::tuple>(outputs[3]);
    const auto part = [&](size_t k) {
      const int64_t start = nb::cast<int64_t>(starts[k]);
      return start < 0 ? nullptr : saved + start * pairs;
    };
    q.saved = part(0);
    q.unprojected = part(1);
    for (size_t k = 2; k < starts.size() && k < size_t(2 + carrousel::max_states); ++k) q.history[k - 2] = part(k);
  }
  const Addresses shown(histories);
  q.histories_shown = shown.size() > 0;
  shown.fill(q.history, 1);
  return q;
}

template <class F>
void forward(const char* cell, nb::tuple sizes, nb::tuple inputs, nb::tuple outputs, nb::tuple initial, nb::tuple restored, nb::tuple final,
             nb::tuple histories, double padding, nb::tuple gates, nb::tuple masks) {
  const Kernel<F>& k = kernel<F>(cell);
  Sequence<F> q = sequence<F>(sizes, inputs, outputs, initial, restored, histories, false);
  Addresses(final).fill(q.final);
  const std::vector<F*> gate_addresses = Addresses(gates).all<F>();
  q.padding = F(padding);
  q.masks = random_masks(masks, k.masks);
  if (gate_addresses.size()) q.gates = gate_addresses.data();
  nb::gil_scoped_release released;
  k.forward(q);
}

// gradients: of x, of the initial states, of W, R, b_x, b_h, per_unit, projection, and of the restored states
template <class F>
void backward(const char* cell, nb::tuple sizes, nb::tuple inputs, nb::tuple outputs, nb::tuple initial, nb::tuple restored,
              nb::tuple histories, nb::tuple gates, nb::tuple d_y, nb::tuple d_final, nb::tuple d_histories, nb::tuple d_gates,
              nb::tuple gradients, nb::tuple masks) {
  const Kernel<F>& k = kernel<F>(cell);
  Sequence<F> q = sequence<F>(sizes, inputs, outputs, initial, restored, histories, true);
  const std::vector<F*> gate_addresses = Addresses(gates).all<F>();
  const std::vector<const F*> d_gate_addresses = Addresses(d_gates).all<const F>();
  q.masks = random_masks(masks, k.masks);
  if (gate_addresses.size()) q.gates = gate_addresses.data();
  Gradients<F> d;
  d.dy = at<F>(address(nb::object(d_y[0])));
  d.ld_dy = nb::cast<int64_t>(d_y[1]);
  Addresses(d_final).fill(d.d_final);
  Addresses(d_histories).fill(d.d_history, 1);
  if (d_gate_addresses.size()) d.d_gates = d_gate_addresses.data();
  const Addresses to(gradients);
  const size_t states = Addresses(initial).size(), weights = 6;
  if (to.size() != 1 + states + weights + Addresses(restored).size()) throw std::invalid_argument("a gradient for each input");
  const auto of_weight = [&](size_t i) { return at<F>(to[1 + states + i]); };
  d.dx = at<F>(to[0]);
  to.fill(d.d_initial, 1, states);
  d.dW = of_weight(0);
  d.dR = of_weight(1);
  d.db_x = of_weight(2);
  d.db_h = of_weight(3);
  d.d_per_unit = of_weight(4);
  d.d_projection = of_weight(5);
  to.fill(d.d_restored, 1 + states + weights, to.size() - 1 - states - weights);
  nb::gil_scoped_release released;
  k.backward(q, d);
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
  m.def("forward_float32", forward<float>);
  m.def("forward_float64", forward<double>);
  m.def("backward_float32", backward<float>);
  m.def("backward_float64", backward<double>);
  m.def("look", look, "tensors"_a, "dtype"_a, "plain"_a);
  m.def("draw_float32", draw<float>);
  m.def("draw_float64", draw<double>);
  m.def("describe", describe<float>, "cell"_a,
        "(number of states, which of them backward reads, names of the returned values, whether backward needs other values too), "
        "or None if there is no kernel");
  m.def(
      "kept_size",
      [](const char* cell, int64_t H, int64_t I, bool single) {
        return single ? kernel<float>(cell).saved_size(H, I) : kernel<double>(cell).saved_size(H, I);
      },
      "cell"_a, "H"_a, "I"_a, "single"_a);
  m.def("instruction_set", carrousel::instruction_set);
  m.def("instruction_sets", instruction_sets, "the instruction sets that this machine can run, best first");
  m.def("use_instruction_set", carrousel::use_instruction_set, "name"_a);
  m.def(
      "add", [](Address target) { carrousel::add(*at<const carrousel::Target>(target)); }, "target"_a,
      "register the cells of a library compiled at run time, which must stay loaded; target: the result of its carrousel_target()");
  m.def("compile_flags", carrousel::compile_flags, "the compiler flags of the kernels in force");
  m.def("interface_digest", carrousel::interface_digest, "digest of sequence.hpp and target.hpp");
  add_lstm1997(m);
  add_streams(m);
}
