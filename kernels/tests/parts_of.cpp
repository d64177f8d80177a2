// Which parts belong to which instruction set: as src/dispatch.cpp does it.
#include <cstring>
#include <stdexcept>

#include "parts.hpp"

#define CARROUSEL_DECLARE(name)                     \
  namespace carrousel::name {                       \
  extern const carrousel::test::AllParts all_parts; \
  }
CARROUSEL_DECLARE(baseline)
CARROUSEL_DECLARE(avx2)
CARROUSEL_DECLARE(avx512)
CARROUSEL_DECLARE(neon)

namespace carrousel::test {
namespace {

const AllParts& all_parts_of(const char* name) {
#if defined(__x86_64__)
  if (!std::strcmp(name, "avx512")) return avx512::all_parts;
  if (!std::strcmp(name, "avx2")) return avx2::all_parts;
#endif
#if defined(__aarch64__)
  if (!std::strcmp(name, "neon")) return neon::all_parts;
#else
  if (!std::strcmp(name, "baseline")) return baseline::all_parts;
#endif
  throw std::invalid_argument(name);
}

}  // namespace

template <>
const Parts<float>* parts_of(const char* name) {
  return all_parts_of(name).single;
}
template <>
const Parts<double>* parts_of(const char* name) {
  return all_parts_of(name).twice;
}

}  // namespace carrousel::test
