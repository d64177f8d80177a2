// Random masks: their values, and sequences with every kind of mask, in arrays with guarded margins. The Python tests compare such
// sequences with plain loops.
#include <doctest/doctest.h>

#include <string>

#include "reference.hpp"
#include "run.hpp"
#include "uniform.hpp"

namespace carrousel::test {
namespace {

constexpr Mask half{0x80000000, 3, 0.25};

template <class F>
void check_numbers(int64_t columns) {
  const std::vector<int64_t> rows = {5, 0, int64_t(1) << 40};
  std::vector<F> values(rows.size() * columns), expected(values.size());
  sample_mask<F>(half, 0xFEDCBA9876543210, 21, rows.size(), columns, rows.data(), values.data());
  for (size_t r = 0; r < rows.size(); ++r)
    for (int64_t c = 0; c < columns; ++c)
      expected[r * columns + c] = uniform(0xFEDCBA9876543210, 21, rows[r], c) < half.threshold ? F(half.below) : F(half.otherwise);
  CHECK(same_bits(values, expected));
}

TEST_CASE("every instruction set draws the same numbers") {
  with_every_instruction_set([](const char* set) {
    INFO(std::string(set));
    for (int64_t columns : {1, 7, 16, 33, 100}) {
      check_numbers<float>(columns);
      check_numbers<double>(columns);
    }
  });
}

RandomMasks every_mask() {
  RandomMasks masks;
  masks.seed = 12345;
  masks.first_stream = 32;
  masks.has_cell_masks = true;
  for (Mask& mask : masks.of_cell) mask = {0x40000000, 0, 1};
  masks.fed_back = {0x40000000, 0, 4.0 / 3};
  return masks;
}

template <class F>
void check_threads(const Case& c) {
  INFO(c.name());
  Ask ask;
  ask.masks = every_mask();
  const Outcome<F> alone = run<F>(c, ask);
  ask.threads = 3;
  check_same_bits(run<F>(c, ask), alone);
}

TEST_CASE("masks are the same for any number of threads, and no memory is touched that should not be") {
  with_every_instruction_set([](const char* set) {
    INFO(std::string(set));
    for (const Cell& cell : all_cells()) {
      if (std::string(cell.name) == "layer_norm_lstm") continue;  // normalised cells take no masks
      for (const Size size : {Size{20, 13, 20, 33}, Size{30, 1, 3, 20}, Size{5, 3, 70, 300}})
        for (const Way& way : ways) {
          if (size.B == 1 && way.packed) continue;  // the same as dense
          check_threads<float>(Case(cell, size, way));
          check_threads<double>(Case(cell, size, way));
        }
    }
  });
}

TEST_CASE("a mask of h that is one number multiplies R") {
  for (const char* name : {"lstm", "gru"}) {
    Case c(cell_named(name), {6, 5, 4, 19});
    Ask ask;
    ask.masks.fed_back = {0, 1, 0.5};
    const Outcome<double> masked = run<double>(c, ask);
    for (double& weight : c.values[R]) weight *= 0.5;  // exact
    const Outcome<double> scaled = run<double>(c);
    CHECK(same_bits(masked.values[Y], scaled.values[Y]));
    REQUIRE(masked.gradients[R].size() == scaled.gradients[R].size());
    for (size_t k = 0; k < scaled.gradients[R].size(); ++k)
      CHECK(masked.gradients[R][k] == doctest::Approx(0.5 * scaled.gradients[R][k]).epsilon(1e-12));
    for (size_t k = 0; k < scaled.gradients[INITIAL].size(); ++k)
      CHECK(masked.gradients[INITIAL][k] == doctest::Approx(scaled.gradients[INITIAL][k]).epsilon(1e-12));
  }
}

}  // namespace
}  // namespace carrousel::test
