// Streams: in any parts they give the whole sequence, to the last bit, and changed weights are detected.
#include "carrousel/stream.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <stdexcept>
#include <thread>

#include "reference.hpp"
#include "run.hpp"

namespace carrousel::test {
namespace {

template <class F>
struct Weights {
  std::array<std::vector<F>, inputs> values;

  explicit Weights(const Case& c) {
    for (int i = 0; i < inputs; ++i) values[i].assign(c.values[i].begin(), c.values[i].end());
  }
  Sequence<F> layer(const Case& c) {
    const auto at = [&](int i) { return c.absent(i) ? nullptr : values[i].data(); };
    Sequence<F> q;
    q.I = c.size.I;
    q.H = c.size.H;
    q.P = c.P;
    q.W = at(W);
    q.R = at(R);
    q.b_x = at(B_X);
    q.b_h = at(B_H);
    q.per_unit = at(PER_UNIT);
    q.projection = at(PROJECTION);
    return q;
  }
};

template <class F>
struct Streamed {
  Weights<F> weights;
  std::shared_ptr<const Stack<F>> stack;
  std::vector<std::vector<F>> states;
  std::vector<F> y;
  std::unique_ptr<Stream<F>> stream;

  explicit Streamed(const Case& c)
      : weights(c), stack(std::make_shared<Stack<F>>(c.cell.name, std::vector{weights.layer(c)})), y(c.N() * c.P) {
    std::vector<F*> places;
    for (int k = 0; k < c.cell.states; ++k) states.push_back(weights.values[INITIAL + k]);
    for (auto& state : states) places.push_back(state.data());
    stream = std::make_unique<Stream<F>>(stack, c.size.B, places);
  }
  bool run(const Case& c, int64_t first, int64_t last, int threads = 1) {
    const Rows rows{last - first, c.size.B, c.size.B, 1};
    return stream->run(weights.values[X].data() + first * c.size.B * c.size.I, y.data() + first * c.size.B * c.P, rows, threads);
  }
};

constexpr Size sizes[] = {{6, 1, 3, 7}, {6, 1, 2, 40}, {6, 1, 5, 70}, {6, 1, 70, 9}, {6, 5, 3, 33}, {6, 2, 70, 17}};

template <class F>
void check_parts(const Case& c) {
  const Outcome<F> whole = run<F>(c, {.backward = false});
  Streamed<F> s(c);
  for (auto [first, last] : {std::pair{0, 1}, {1, 2}, {2, 5}, {5, 6}}) REQUIRE(s.run(c, first, last, 2));
  CHECK(same_bits(s.y, whole.values[Y]));
  for (int k = 0; k < c.cell.states; ++k) CHECK(same_bits(s.states[k], whole.values[FINAL + k]));
}

TEST_CASE("a stream in parts is the whole sequence") {
  for (const Cell& cell : all_cells())
    for (const Size& size : sizes)
      for (const bool projected : {false, true}) {
        if (projected && cell.reads_h) continue;
        const Case c(cell, size, ways[0], {.projected = projected});
        with_every_instruction_set([&](const char* set) {
          INFO(c.name(), " ", std::string(set));
          check_parts<float>(c);
          check_parts<double>(c);
        });
      }
}

TEST_CASE("layer upon layer is one after another") {
  const Size size{5, 3, 4, 9};
  const Case below(cell_named("lstm"), size), above(cell_named("lstm"), {5, 3, 9, 9});
  const Outcome<float> first = run<float>(below, {.backward = false});
  Case second = above;
  second.values[X].assign(first.values[Y].begin(), first.values[Y].end());
  const Outcome<float> expected = run<float>(second, {.backward = false});

  Weights<float> lower(below), upper(above);
  const auto stack = std::make_shared<Stack<float>>("lstm", std::vector{lower.layer(below), upper.layer(above)});
  std::vector<std::vector<float>> states;
  for (int k = 0; k < 2; ++k) {
    states.push_back(lower.values[INITIAL + k]);
    states[k].insert(states[k].end(), upper.values[INITIAL + k].begin(), upper.values[INITIAL + k].end());
  }
  Stream<float> stream(stack, size.B, {states[0].data(), states[1].data()});
  std::vector<float> y(below.N() * 9);
  REQUIRE(stream.run(lower.values[X].data(), y.data(), Rows{size.T, size.B, size.B, 1}, 1));
  CHECK(same_bits(y, expected.values[Y]));
}

TEST_CASE("changed weights are found, and nothing is computed with the old ones") {
  const Case c(cell_named("lstm"), {6, 1, 3, 100});
  Streamed<float> s(c);
  REQUIRE(s.run(c, 0, 1));
  const auto states = s.states;
  const auto y = s.y;
  for (float& w : s.weights.values[R]) w *= 0.5f;
  CHECK_FALSE(s.run(c, 1, 2));
  CHECK(s.states == states);
  CHECK(s.y == y);
}

TEST_CASE("a single changed number is found once every part was looked at") {
  const Case c(cell_named("lstm"), {1024, 1, 3, 100});
  Streamed<float> s(c);
  s.weights.values[R][12345] += 1;
  CHECK_FALSE(s.run(c, 0, 1024));  // as many steps compare as many parts
  int64_t steps = 0;
  while (steps < 1024 && s.run(c, steps, steps + 1)) ++steps;
  CHECK(steps < 1024);
}

TEST_CASE("another instruction set is found") {
  const char* const* sets = instruction_sets();
  if (!sets[1]) return;  // there is no other instruction set
  const Case c(cell_named("gru"), {2, 1, 3, 9});
  const Using best(sets[0]);
  Streamed<float> s(c);
  CHECK(s.run(c, 0, 1));
  const Using other(sets[1]);
  CHECK_FALSE(s.run(c, 1, 2));
}

TEST_CASE("what is refused") {
  const Case c(cell_named("gru"), {2, 1, 9, 9});
  Streamed<float> s(c);
  float* x = s.weights.values[X].data();
  CHECK_THROWS_AS(s.stream->run(x, x + 8, Rows{1, 1, 1, 1}, 1), std::invalid_argument);
  CHECK_THROWS_AS(Stack<float>("no cell", {}), std::invalid_argument);
  CHECK_THROWS_AS(Stream<float>(s.stack, 1, {}), std::invalid_argument);
}

}  // namespace
}  // namespace carrousel::test
