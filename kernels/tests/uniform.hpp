// The random numbers behind masks, one at a time, as the masks of carrousel.scan define them, for masks that are one for all steps.
#pragma once
#include <cstdint>

namespace carrousel::test {

inline uint64_t mix(uint64_t z) {
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  return z ^ z >> 31;
}

inline uint32_t uniform(uint64_t seed, int64_t stream, int64_t row, uint32_t unit) {
  const uint64_t key = mix(mix(mix(seed) + uint64_t(stream + 1) * 0x9E3779B97F4A7C15) + uint64_t(row) * 0x91E10DA5C79E7B1D);
  uint32_t x = unit + uint32_t(key);
  x = (x ^ x >> 16) * 0x7FEB352Du ^ uint32_t(key >> 32);
  return (x ^ x >> 15) * 0x846CA68Bu;
}

}  // namespace carrousel::test
