// R by heads, and R with dropped weights: outputs equal the plain loops', gradients their slopes, in arrays with guarded margins.
#include <doctest/doctest.h>

#include <string>

#include "exactness.hpp"
#include "reference.hpp"
#include "run.hpp"
#include "uniform.hpp"

namespace carrousel::test {
namespace {

struct Heads {
  const char* why;
  Size size;
  int heads;
};
constexpr Heads all_heads[] = {
    {"a head ends inside of a vector", {5, 7, 3, 34}, 2}, {"heads are narrower than a vector", {3, 6, 70, 15}, 3},
    {"heads are of one unit", {4, 3, 2, 7}, 7},           {"heads are whole vectors", {2, 13, 4, 64}, 4},
    {"half a vector holds all heads", {5, 5, 3, 8}, 2},   {"one row has a vector of units", {9, 1, 4, 16}, 2},
};

RandomMasks dropping() {
  RandomMasks masks;
  masks.seed = 0xFEDCBA9876543210;
  masks.first_stream = 48;
  masks.of_weights = {0x55555555, 0, 1.5};  // a third is dropped
  return masks;
}

// The factors of R, an array of its shape.
std::vector<double> mask_of_R(const Case& c, const RandomMasks& masks) {
  const Mask& mask = masks.of_weights;
  const int64_t width = c.width_of_R();
  std::vector<double> numbers(c.size_of_input(R));
  for (size_t k = 0; k < numbers.size(); ++k)
    numbers[k] =
        uniform(masks.seed, masks.first_stream + of_weights_stream, k / width, k % width) < mask.threshold ? mask.below : mask.otherwise;
  return numbers;
}

// For the case with the masked R. Its slope in the direction d of R is that of the loss in the direction d * mask.
Expected expect_dropped(const Case& given, const RandomMasks& masks) {
  Case c = given;
  const std::vector<double> mask = mask_of_R(c, masks);
  for (size_t k = 0; k < mask.size(); ++k) c.values[R][k] *= mask[k], c.directions[R][k] *= mask[k];
  return expect(c);
}

// Calls run(case, n) for every cell and size, by heads and without, the n-th of them in one of the ways.
template <class Run>
void with_cases(Run run) {
  constexpr int plain = std::size(ways), all = plain + std::size(ragged_ways), of_a_cell = 2 * std::size(all_heads);
  int n = 0;
  for (const Cell& cell : all_cells())
    for (const Heads& heads : all_heads)
      for (const int many : {heads.heads, 1}) {
        const int way = (n + n / of_a_cell) % all;  // differs from cell to cell for each size
        INFO(std::string(heads.why));
        run(Case(cell, heads.size, way < plain ? ways[way] : ragged_ways[way - plain],
                 {.bias = n % 5 != 0, .initial = n % 7 != 0, .heads = many}),
            n);
        ++n;
      }
}

TEST_CASE("by heads, every cell equals the plain loops, and its gradients their slopes") {
  with_cases([](const Case& c, int n) {
    if (c.options.heads > 1) check_exactness(c, {.threads = 1 + n % 3, .low = n / 2 % 3 == 0});
  });
}

TEST_CASE("with weights dropped, every cell equals the plain loops, and its gradients their slopes") {
  const RandomMasks masks = dropping();
  with_cases([&](const Case& c, int n) {
    check_exactness(c, {.threads = 1 + n % 3, .low = n / 2 % 3 == 1, .masks = masks}, expect_dropped(c, masks));
  });
}

TEST_CASE("with weights dropped, a projected cell equals the plain loops, and its gradients their slopes") {
  const RandomMasks masks = dropping();
  for (const Cell& cell : all_cells()) {
    if (cell.reads_h) continue;
    const Case c(cell, {5, 7, 3, 34}, ways[5], {.projected = true});
    check_exactness(c, {.threads = 2, .masks = masks}, expect_dropped(c, masks));
  }
}

TEST_CASE("at a size where panels are several and the weights outgrow the cache, by heads and with weights dropped") {
  const RandomMasks masks = dropping();
  for (const char* name : {"lstm", "slstm", "gru"}) {
    const Case c(cell_named(name), {4, 3, 70, 270}, ways[0], {.heads = 3});
    check_exactness(c, {.threads = 2, .masks = masks}, expect_dropped(c, masks));
  }
}

// Calls run(case, ask) in every instruction set, with weights dropped and without.
template <class Run>
void with_calls(Run run) {
  with_cases([&](const Case& c, int n) {
    for (const bool drops : {false, true}) {
      if (c.options.heads == 1 && !drops) continue;  // R in the caller's form: covered by other tests
      with_every_instruction_set([&](const char* set) {
        INFO(c.name(), drops ? " dropped " : " ", std::string(set));
        Ask ask{.threads = 1 + n % 2};
        if (drops) ask.masks = dropping();
        run(c, ask);
      });
    }
  });
}

TEST_CASE("the gradient of R may be left out, and may be asked for alone") {
  with_calls([](const Case& c, const Ask& ask) {
    const Outcome<float> all = run<float>(c, ask);
    REQUIRE(int64_t(all.gradients[R].size()) == c.size_of_input(R));
    Ask without = ask, alone = ask;
    without.wanted[R] = false;
    alone.wanted.fill(false);
    alone.wanted[R] = true;
    check_same_bits(run<float>(c, without), all);
    check_same_bits(run<float>(c, alone), all);
  });
}

TEST_CASE("a weight that is dropped has no gradient") {
  const RandomMasks masks = dropping();
  with_cases([&](const Case& c, int) {
    const std::vector<double> mask = mask_of_R(c, masks);
    const Outcome<double> got = run<double>(c, {.masks = masks});
    for (size_t k = 0; k < mask.size(); ++k)
      if (mask[k] == 0 && got.gradients[R][k] != 0) FAIL_CHECK(c.name(), ": weight ", k, " has the gradient ", got.gradients[R][k]);
  });
}

TEST_CASE("the same bits for any number of threads, by heads and with weights dropped") {
  for (const Cell& cell : all_cells())
    for (const Size& size : {Size{20, 13, 20, 66}, Size{5, 3, 70, 330}})  // threads split the rows; the units
      for (const int heads : {1, 3}) {
        const Case c(cell, size, ways[5], {.heads = heads});
        with_every_instruction_set([&](const char* set) {
          INFO(c.name(), " ", std::string(set));
          const RandomMasks masks = dropping();
          const Outcome<float> one = run<float>(c, {.masks = masks});
          for (int threads = 2; threads <= 4; threads += 2) check_same_bits(run<float>(c, {.threads = threads, .masks = masks}), one);
        });
      }
}

}  // namespace
}  // namespace carrousel::test
