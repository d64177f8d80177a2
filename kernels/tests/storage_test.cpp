// Streams on rounded weights, beside the same layer whose weights were rounded by plain definitions before it was given to the kernels.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>

#include "carrousel/stream.hpp"
#include "reference.hpp"
#include "run.hpp"

namespace carrousel::test {
namespace {

// Odd numbers of inputs and units, wide inputs, several blocks of a sum, a batch that is more than a tile.
constexpr Size sizes[] = {{6, 1, 1, 7}, {6, 1, 70, 41}, {5, 2, 3, 33}, {6, 7, 5, 16}, {3, 1, 2, 600}};

double to_bfloat16(double w) {
  const uint32_t bits = std::bit_cast<uint32_t>(float(w));
  return std::bit_cast<float>((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
}

void round_row(Storage storage, double* row, int64_t n) {
  double most = 0;
  for (int64_t k = 0; k < n; ++k) most = std::max(most, std::fabs(row[k]));
  for (int64_t k = 0; k < n; ++k)
    row[k] = storage == Storage::bfloat16 ? to_bfloat16(row[k])
             : most                       ? std::nearbyint(float(row[k]) * (127 / float(most))) * most / 127
                                          : 0;
}

Case rounded(Case c, Storage storage) {
  const std::pair<int, int64_t> widths[] = {{W, c.size.I}, {R, c.width_of_R()}, {PROJECTION, c.size.H}};
  for (const auto& [input, width] : widths)
    for (size_t at = 0; !c.absent(input) && at < c.values[input].size(); at += width) round_row(storage, &c.values[input][at], width);
  return c;
}

struct Streamed {
  std::array<std::vector<float>, inputs> values;
  std::vector<std::vector<float>> states;
  std::vector<float> y;
  std::unique_ptr<Stream<float>> stream;

  Streamed(const Case& c, Storage storage) : y(c.N() * c.P) {
    for (int i = 0; i < inputs; ++i) values[i].assign(c.values[i].begin(), c.values[i].end());
    const auto at = [&](int i) { return c.absent(i) ? nullptr : values[i].data(); };
    Sequence<float> q;
    q.I = c.size.I;
    q.H = c.size.H;
    q.P = c.P;
    q.storage = storage;
    q.W = at(W);
    q.R = at(R);
    q.b_x = at(B_X);
    q.b_h = at(B_H);
    q.per_unit = at(PER_UNIT);
    q.projection = at(PROJECTION);
    std::vector<float*> places;
    for (int k = 0; k < c.cell.states; ++k) states.push_back(values[INITIAL + k]);
    for (auto& state : states) places.push_back(state.data());
    stream = std::make_unique<Stream<float>>(std::make_shared<Stack<float>>(c.cell.name, std::vector{q}), c.size.B, places);
  }

  void run(const Case& c, int64_t first, int64_t last, int threads) {
    const Rows rows{last - first, c.size.B, c.size.B, 1};
    REQUIRE(stream->run(values[X].data() + first * c.size.B * c.size.I, y.data() + first * c.size.B * c.P, rows, threads));
  }
};

bool has_rounded_weights(const Cell& cell) { return !find<float>(cell.name)->saves_more; }

template <class Check>
void with_every_case(Check check) {
  for (const Cell& cell : all_cells())
    for (const Size& size : sizes)
      for (const bool projected : {false, true})
        for (const Storage storage : {Storage::bfloat16, Storage::int8}) {
          if ((projected && cell.reads_h) || !has_rounded_weights(cell)) continue;
          const Case c(cell, size, ways[0], {.projected = projected});
          with_every_instruction_set([&](const char* set) {
            INFO(c.name(), " ", std::string(set), storage == Storage::int8 ? " int8" : " bfloat16");
            check(c, storage);
          });
        }
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double most = 0;
  for (size_t k = 0; k < a.size(); ++k) most = std::max(most, std::fabs(double(a[k]) - b[k]) / std::max(1.0, std::fabs(double(b[k]))));
  return most;
}

TEST_CASE("a stream on rounded weights is the layer whose weights were rounded") {
  with_every_case([](const Case& c, Storage storage) {
    const Outcome<float> expected = run<float>(rounded(c, storage), {.backward = false});
    Streamed s(c, storage);
    s.run(c, 0, c.size.T, 1);
    // int8 rounds x and h, too, to 16 bits
    const double bound = storage == Storage::int8 ? 2e-3 : 2e-5;
    CHECK(largest_difference(s.y, expected.values[Y]) < bound);
    for (int k = 0; k < c.cell.states; ++k) CHECK(largest_difference(s.states[k], expected.values[FINAL + k]) < bound);
  });
}

TEST_CASE("parts and threads give the same bits with rounded weights") {
  with_every_case([](const Case& c, Storage storage) {
    Streamed whole(c, storage), parts(c, storage);
    whole.run(c, 0, c.size.T, 1);
    for (auto [first, last] : {std::pair<int64_t, int64_t>{0, 1}, {1, c.size.T}}) parts.run(c, first, last, 2);
    CHECK(same_bits(parts.y, whole.y));
    CHECK(parts.states == whole.states);
  });
}

TEST_CASE("what is not a number stays one with rounded weights, in its row alone") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  for (const Storage storage : {Storage::bfloat16, Storage::int8})
    for (const float bad : {nan, infinity, -infinity}) {
      const Case c(cell_named("lstm"), {2, 3, 5, 33});
      Streamed good(c, storage), s(c, storage), weight(c, storage);
      s.values[X][5] = bad;  // row 1
      good.run(c, 0, 1, 1);
      s.run(c, 0, 1, 1);
      for (int64_t u = 0; u < 3 * c.P; ++u) {
        const bool in_its_row = u / c.P == 1;
        if (storage == Storage::int8 || bad != bad) CHECK(std::isnan(s.y[u]) == in_its_row);
        if (!in_its_row) CHECK(s.y[u] == good.y[u]);
      }
    }
}

TEST_CASE("a weight that is not finite makes its unit so with rounded weights") {
  for (const Storage storage : {Storage::bfloat16, Storage::int8}) {
    Case c(cell_named("rnn_tanh"), {1, 1, 5, 33});
    c.values[W][3 * 5 + 2] = std::numeric_limits<double>::quiet_NaN();
    Streamed s(c, storage);
    s.run(c, 0, 1, 1);
    for (int64_t u = 0; u < c.P; ++u) CHECK(std::isnan(s.y[u]) == (u == 3));
  }
}

TEST_CASE("zeros and numbers near zero have rounded weights") {
  for (const Storage storage : {Storage::bfloat16, Storage::int8}) {
    Case c(cell_named("lstm"), {2, 1, 5, 33});
    for (const int input : {X, W, R})
      for (size_t k = 0; k < c.values[input].size(); ++k) c.values[input][k] = k % 2 ? 0 : 1e-42;
    Streamed s(c, storage);
    s.run(c, 0, 2, 1);
    const Outcome<float> expected = run<float>(c, {.backward = false});
    CHECK(largest_difference(s.y, expected.values[Y]) < 1e-6);
  }
}

TEST_CASE("kernels without rounded weights refuse them") {
  const auto make = [](const char* cell, auto one) {
    Sequence<decltype(one)> q;
    q.storage = Storage::int8;
    q.H = q.P = q.I = 1;
    return Stack<decltype(one)>(cell, {q});
  };
  CHECK_THROWS_AS(make("lstm", 1.0), std::invalid_argument);
  for (const Cell& cell : all_cells())
    if (!has_rounded_weights(cell)) CHECK_THROWS_AS(make(cell.name, 1.0f), std::invalid_argument);
}

}  // namespace
}  // namespace carrousel::test
