// The output layer for the instruction set in force.
#include <algorithm>
#include <cstring>
#include <iterator>

#include "carrousel/sequence.hpp"
#include "carrousel/targets.hpp"
#include "output_layer/target.hpp"

namespace carrousel {
namespace {

const OutputLayerTable& current() {
#define CARROUSEL_ADDRESS(name) &output_layer_##name::table,
  static constexpr const OutputLayerTable* all[] = {CARROUSEL_TARGETS(CARROUSEL_ADDRESS)};
#undef CARROUSEL_ADDRESS
  return **std::find_if(all, std::end(all) - 1, [](const OutputLayerTable* one) { return !std::strcmp(one->name, instruction_set()); });
}

}  // namespace

template <>
void cross_entropy(const OutputLayer<float>& q) {
  current().f32(q);
}
template <>
void cross_entropy(const OutputLayer<double>& q) {
  current().f64(q);
}

}  // namespace carrousel
