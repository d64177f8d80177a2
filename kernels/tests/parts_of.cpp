// The parts of each instruction set, chosen as src/dispatch.cpp does.
#include <cstring>
#include <stdexcept>

#include "carrousel/targets.hpp"
#include "parts.hpp"

#define CARROUSEL_DECLARE(name)                     \
  namespace carrousel::name {                       \
  extern const carrousel::test::AllParts all_parts; \
  }
CARROUSEL_TARGETS(CARROUSEL_DECLARE)

namespace carrousel::test {
namespace {

const AllParts& all_parts_of(const char* name) {
#define CARROUSEL_COMPARE(target) \
  if (!std::strcmp(name, #target)) return target::all_parts;
  CARROUSEL_TARGETS(CARROUSEL_COMPARE)
  throw std::invalid_argument(name);
}

}  // namespace

template <>
const Parts<float>* parts_of(const char* name) {
  return all_parts_of(name).f32;
}
template <>
const Parts<double>* parts_of(const char* name) {
  return all_parts_of(name).f64;
}

}  // namespace carrousel::test
