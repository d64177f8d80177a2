// carrousel._kernels.allocate_large: torch's tensors in memory that stays for the next one when they are freed.
#include "carrousel/large_blocks.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class F>
auto allocate(size_t count) {
  auto block = std::make_unique<carrousel::LargeBlock>(carrousel::take_large_block(count * sizeof(F)));
  void* memory = block->memory;
  const nb::capsule owner(block.release(), [](void* p) noexcept {
    const std::unique_ptr<carrousel::LargeBlock> block(static_cast<carrousel::LargeBlock*>(p));
    carrousel::give_back(*block);
  });
  return nb::ndarray<nb::pytorch, F>(memory, {count}, owner);
}

}  // namespace

void add_large_blocks(nb::module_& m) {
  m.def("allocate_large_float32", allocate<float>, "count"_a, "a tensor [count]");
  m.def("allocate_large_float64", allocate<double>, "count"_a, "a tensor [count]");
}
