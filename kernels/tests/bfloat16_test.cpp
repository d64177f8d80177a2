// Rounding to bfloat16 and the tiles on pairs of them, against plain definitions.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "each_part.hpp"
#include "guarded.hpp"

namespace carrousel::test {
namespace {

// The nearer of the two bfloat16 around x, or the even one of a tie; infinity counts as the number after the largest.
uint16_t nearest(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), below = bits & 0xffff0000, above = below + 0x10000;
  const auto value = [](uint32_t b) { return b << 1 == 0xff000000 ? std::ldexp(1.0, 128) : std::fabs(double(std::bit_cast<float>(b))); };
  const double down = std::fabs(x) - value(below), up = value(above) - std::fabs(x);
  if (std::isinf(x) || down < up || (down == up && !(below & 0x10000))) return uint16_t(below >> 16);
  return uint16_t(above >> 16);
}

float number(uint16_t bfloat16) { return std::bit_cast<float>(uint32_t(bfloat16) << 16); }

float pair(uint16_t first, uint16_t second) { return std::bit_cast<float>(uint32_t(second) << 16 | first); }

std::vector<float> any_numbers(int64_t n) {
  std::mt19937 random(n);
  std::vector<float> numbers(n);
  for (float& x : numbers) {
    do x = std::bit_cast<float>(uint32_t(random()) & (random() % 2 ? 0xffffffff : 0xffff8000));  // half of them are ties
    while (std::isnan(x));
  }
  return numbers;
}

std::vector<uint16_t> halves(const std::vector<float>& pairs) {
  std::vector<uint16_t> halves;
  for (const float p : pairs) {
    halves.push_back(uint16_t(std::bit_cast<uint32_t>(p)));
    halves.push_back(uint16_t(std::bit_cast<uint32_t>(p) >> 16));
  }
  return halves;
}

TEST_CASE("rounding to bfloat16 takes the nearest, and the even one of two") {
  constexpr float infinity = std::numeric_limits<float>::infinity(), largest = std::numeric_limits<float>::max();
  with_all_parts<float>([](const Parts<float>& parts) {
    for (const int64_t n : {1, 15, 16, 17, 1000}) {
      std::vector<float> row = any_numbers(n);
      if (n > 16) row[3] = infinity, row[4] = -infinity, row[5] = largest, row[6] = -0.0f, row[7] = 1e-40f;
      Guarded<float> to((n + parts.lanes - 1) / parts.lanes * parts.lanes / 2);
      parts.round_row(to.data(), row.data(), n);
      const std::vector<uint16_t> got = halves(to.values());
      int64_t wrong = 0;
      for (size_t k = 0; k < got.size(); ++k) wrong += got[k] != (k < size_t(n) ? nearest(row[k]) : 0);
      INFO("n ", n);
      CHECK(wrong == 0);
      CHECK(to.unharmed());
      row.resize(std::max<size_t>(row.size(), to.values().size()));
      parts.round_row(row.data(), row.data(), n);
      CHECK(same_bits(std::vector<float>(row.begin(), row.begin() + int64_t(to.values().size())), to.values()));
    }
  });
}

TEST_CASE("a NaN rounded is a NaN, whatever its bits") {
  with_all_parts<float>([](const Parts<float>& parts) {
    for (const uint32_t bits : {0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffffffffu, 0x7fc00000u}) {
      const std::vector<float> row(1, std::bit_cast<float>(bits));
      std::vector<float> to(parts.lanes / 2);
      parts.round_row(to.data(), row.data(), 1);
      CHECK(std::isnan(number(halves(to)[0])));
    }
  });
}

// Rows and a panel of small integers in pairs, whose products and sums are exact.
struct Pairs {
  int64_t count, width, K;
  std::vector<float> rows, panel;  // numbers: [count, 2 K], [2 K, width]
  std::vector<std::vector<float>> row_pairs;
  std::vector<float> panel_pairs;
  std::vector<const float*> pointers;

  Pairs(int64_t count, int64_t width, int64_t K)
      : count(count), width(width), K(K), rows(integers<float>(count * 2 * K)), panel(integers<float>(2 * K * width)) {
    for (int64_t i = 0; i < count; ++i) {
      row_pairs.emplace_back();
      for (int64_t k = 0; k < K; ++k) row_pairs[i].push_back(pair(nearest(rows[(i * K + k) * 2]), nearest(rows[(i * K + k) * 2 + 1])));
    }
    for (int64_t k = 0; k < K; ++k)
      for (int64_t c = 0; c < width; ++c)
        panel_pairs.push_back(pair(nearest(panel[2 * k * width + c]), nearest(panel[(2 * k + 1) * width + c])));
    for (const auto& row : row_pairs) pointers.push_back(row.data());
  }

  float sum(int64_t i, int64_t c) const {
    float sum = 0;
    for (int64_t k = 0; k < 2 * K; ++k) sum += rows[i * 2 * K + k] * panel[k * width + c];
    return sum;
  }
};

template <class Tile>
void check_tile(Tile tile, const Parts<float>& parts) {
  for (int count = 1; count <= parts.tile_rows; ++count)
    for (int vectors = 1; vectors <= 4; ++vectors)
      for (const int64_t K : {1, 2, 33})
        for (const int64_t lead_K : {0, 3}) {
          const int64_t width = vectors * parts.lanes, ld = width + 5;
          const Pairs main(count, width, K), lead(count, width, lead_K);
          const std::vector<float> start = integers<float>(width);
          Guarded<float> acc(count * ld);
          tile({vectors, acc.data(), ld, start.data(), 0, count, main.pointers.data(), main.panel_pairs.data(), width, K,
                lead.pointers.data(), lead.panel_pairs.data(), width, lead_K});
          const std::vector<float> got = acc.values();
          int64_t wrong = 0;
          for (int64_t i = 0; i < count; ++i)
            for (int64_t c = 0; c < ld; ++c)
              wrong += c < width ? got[i * ld + c] != start[c] + main.sum(i, c) + lead.sum(i, c) : !untouched(got[i * ld + c]);
          INFO("count ", count, ", vectors ", vectors, ", K ", K, ", lead ", lead_K);
          CHECK(wrong == 0);
          CHECK(acc.unharmed());
        }
}

TEST_CASE("a tile of pairs is rows times panel") {
  with_all_parts<float>([](const Parts<float>& parts) { check_tile(parts.pair_tile, parts); });
}

TEST_CASE("the machine's own tile of pairs is rows times panel, where it has one") {
  with_all_parts<float>([](const Parts<float>& parts) {
    if (parts.machine_has_pairs()) check_tile(parts.machine_pair_tile, parts);
  });
}

}  // namespace
}  // namespace carrousel::test
