// The parameters of a layer that is run again and again: whether they are still where they were.
#pragma once
#include <vector>

#include "tensors.hpp"

// Operations from which on the GIL is released: about 20 us. Below, other threads wait no longer than for any function of Python's own;
// and reacquiring the GIL may take five milliseconds while another thread computes in Python.
inline constexpr double worth_releasing_gil = 2e6;

// They have changed if torch has counted a change, if their data have moved, or if they are other objects, which may be views of the same
// memory. From Python each look costs twice as much, and a step of a small layer has eight.
class Parameters {
 public:
  // names, parameters, addresses and versions; without versions changes are not looked for, or torch does not count them.
  Parameters(nb::list names, nb::list parameters, nb::list places, nb::list versions) {
    for (size_t k = 0; k < names.size(); ++k)
      looks_.push_back(
          {names[k], parameters[k].ptr(), nb::cast<Address>(places[k]), k < versions.size() ? nb::cast<int64_t>(versions[k]) : -1});
  }

  bool hold(nb::dict now) const {
    for (const Look& look : looks_) {
      PyObject* found = PyDict_GetItemWithError(now.ptr(), look.name.ptr());
      if (found != look.parameter) return false;
      const nb::handle parameter(found);
      if (nb::cast<Address>(parameter.attr(data_ptr_)()) != look.place) return false;
      if (look.version >= 0 && nb::cast<int64_t>(parameter.attr(version_)) != look.version) return false;
    }
    return true;
  }

  // Whether each still has all its elements, one after another: `.data` can be set to a view of the same memory.
  bool are_whole(nb::dict now, const std::vector<int64_t>& sizes) const {
    for (size_t k = 0; k < looks_.size(); ++k) {
      const nb::handle parameter(PyDict_GetItemWithError(now.ptr(), looks_[k].name.ptr()));
      if (nb::cast<int64_t>(parameter.attr(numel_)()) != sizes[k] || !nb::cast<bool>(parameter.attr(is_contiguous_)())) return false;
    }
    return true;
  }

 private:
  struct Look {
    nb::object name;
    const PyObject* parameter;  // a borrowed reference: hooks on the parameter may hold the layer, a cycle that Python does not see
    Address place;
    int64_t version;
  };
  std::vector<Look> looks_;
  nb::object data_ptr_ = nb::str("data_ptr"), version_ = nb::str("_version"), numel_ = nb::str("numel"),
             is_contiguous_ = nb::str("is_contiguous");
};
