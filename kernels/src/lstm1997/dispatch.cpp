// The rule for the instruction set in force.
#include <cstring>
#include <initializer_list>

#include "carrousel/sequence.hpp"
#include "target.hpp"

namespace carrousel::lstm1997 {
namespace {

const Target& chosen() {
#if defined(__x86_64__)
  for (const Target* target : {&lstm1997_avx512::target, &lstm1997_avx2::target})
    if (!std::strcmp(target->name, instruction_set())) return *target;
  return lstm1997_baseline::target;
#elif defined(__aarch64__)
  return lstm1997_neon::target;
#else
  return lstm1997_baseline::target;
#endif
}

}  // namespace

void present(const Network& network, const Rule& rule, const Stop& stop, Trial* trials, int64_t count, int threads) {
  chosen().present(network, rule, stop, trials, count, threads);
}

template <>
Online<float>* make_online(const Network& network) {
  return chosen().single(network);
}
template <>
Online<double>* make_online(const Network& network) {
  return chosen().twice(network);
}

}  // namespace carrousel::lstm1997
