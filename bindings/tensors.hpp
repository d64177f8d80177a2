// Where the data of Python's tensors lie, and one look at all tensors of a call.
#pragma once
#include <nanobind/nanobind.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "carrousel/sequence.hpp"

namespace nb = nanobind;
using Address = uintptr_t;  // of a tensor's data; 0 for None

template <class F>
F* at(Address address) {
  return reinterpret_cast<F*>(address);
}

// The address of a tensor's data; 0 for None. A tensor that has elements but no memory would pass for None: it is an error.
inline Address address(nb::handle tensor) {
  static const nb::object& data_ptr = *new nb::str("data_ptr");
  if (tensor.is_none()) return 0;
  const Address found = nb::cast<Address>(tensor.attr(data_ptr)());
  if (!found && nb::cast<int64_t>(tensor.attr("numel")())) throw std::invalid_argument("a tensor has no memory: tensor.clone() has");
  return found;
}

// The address of a tensor's data for reading only. data_ptr would copy a tensor that shares its memory until it is written to, as
// the outputs of our layers do (copied_when_written in carrousel.fused.autograd); torch's _data_address is where its storage
// begins.
inline Address address_to_read(nb::handle tensor) {
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
inline int look(nb::tuple tensors, nb::handle dtype, nb::tuple plain) {
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
