// Random masks, in registers: each value is a function of seed, mask, step, row and unit, so that the backward pass can sample it again
// and any number of threads samples the same. The masks of carrousel.scan are the definition and give its sources; both give the same
// bits.
#pragma once
#include "carrousel/sequence.hpp"
#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

// The finaliser of SplitMix64.
CARROUSEL_INLINE uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

CARROUSEL_INLINE uint64_t key_of_stream(uint64_t seed, int64_t stream) {
  return mix(mix(seed) + uint64_t(stream + 1) * 0x9E3779B97F4A7C15);
}
CARROUSEL_INLINE uint64_t key_of_row(uint64_t stream_key, int64_t step, int64_t row) {
  return mix(stream_key + uint64_t(step) * 0xC13FA9A902A6328F + uint64_t(row) * 0x91E10DA5C79E7B1D);
}

alignas(64) inline constexpr uint32_t first_units[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// The mask of a vector of units beginning with `unit`, from the key of their row.
template <class V>
CARROUSEL_INLINE V sample_units(const Mask& mask, uint64_t row_key, int64_t unit) {
  using T = element<V>;
  using U = vec<uint32_t, lanes<V>>;
  U x;
  std::memcpy(&x, first_units, sizeof x);
  x += uint32_t(unit) + uint32_t(row_key);
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x ^= uint32_t(row_key >> 32);
  x = (x ^ (x >> 15)) * 0x846CA68Bu;
  const auto taken = __builtin_convertvector(x < U{} + mask.threshold, bits_of<V>);  // as wide as V's elements
  return taken ? set1<V>(T(mask.below)) : set1<V>(T(mask.otherwise));
}

// The masks of a cell's step.
template <class Cell, class V>
class CellMasks {
 public:
  explicit CellMasks(const RandomMasks& masks) {
    for (int k = 0; k < Cell::masks; ++k) {
      masks_[k] = masks.has_cell_masks ? masks.of_cell[k] : Mask{0, 0, Cell::neutral[k]};
      keys_[k] = key_of_stream(masks.seed, masks.first_stream + k);
    }
  }

  // values [masks] for the units from `unit` on, at step t of the caller's row.
  CARROUSEL_INLINE void sample([[maybe_unused]] V* values, [[maybe_unused]] int64_t t, [[maybe_unused]] int64_t row,
                               [[maybe_unused]] int64_t unit) const {
    for (int k = 0; k < Cell::masks; ++k)
      values[k] =
          masks_[k].threshold ? sample_units<V>(masks_[k], key_of_row(keys_[k], t, row), unit) : set1<V>(element<V>(masks_[k].otherwise));
  }

 private:
  Mask masks_[Cell::masks + 1];
  uint64_t keys_[Cell::masks + 1];
};

// Calls put(where, values, n) for every vector of a mask at step 0 [rows, columns]; numbers: of the rows, null: 0, 1, ...
template <class V, class Put>
CARROUSEL_INLINE void for_each_vector(const Mask& mask, uint64_t seed, int64_t stream, int64_t rows, int64_t columns,
                                      const int64_t* numbers, Put put) {
  const uint64_t key = key_of_stream(seed, stream);
  for (int64_t r = 0; r < rows; ++r) {
    const uint64_t row_key = key_of_row(key, 0, numbers ? numbers[r] : r);
    for (int64_t c = 0; c < columns; c += lanes<V>)
      put(r * columns + c, sample_units<V>(mask, row_key, c), int(columns - c < lanes<V> ? columns - c : lanes<V>));
  }
}

// Writes a mask at step 0 to memory.
template <class V>
void sample_rows(const Mask& mask, uint64_t seed, int64_t stream, int64_t rows, int64_t columns, const int64_t* numbers,
                 element<V>* values) {
  for_each_vector<V>(mask, seed, stream, rows, columns, numbers,
                     [=](int64_t at, V sample_units, int n) { store_n<V>(values + at, sample_units, n); });
}

// to = from times such a mask; `to` may be `from`.
template <class V>
void multiply_by_mask(const Mask& mask, uint64_t seed, int64_t stream, int64_t rows, int64_t columns, const element<V>* from,
                      element<V>* to) {
  for_each_vector<V>(mask, seed, stream, rows, columns, nullptr,
                     [=](int64_t at, V sample_units, int n) { store_n<V>(to + at, load_n<V>(from + at, n) * sample_units, n); });
}

}  // namespace carrousel::CARROUSEL_TARGET
