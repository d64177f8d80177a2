// The output layer: losses and gradients beside plain loops, in arrays whose surroundings are checked.
#include "carrousel/output_layer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "guarded.hpp"
#include "reference.hpp"
#include "run.hpp"

namespace carrousel::test {
namespace {

struct Results {
  std::vector<double> losses, dh, dW, db;
};

double to_bfloat16(double x) {
  const uint32_t bits = std::bit_cast<uint32_t>(float(x));
  return std::bit_cast<float>((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
}

struct Trial {
  int64_t N, H, V;
  double smoothing;
  std::vector<double> h, W, b, weights;
  std::vector<int64_t> classes;

  Trial(int64_t N, int64_t H, int64_t V, double smoothing) : N(N), H(H), V(V), smoothing(smoothing) {
    std::mt19937 random(uint32_t(N + 31 * H + 1009 * V));
    const auto fill = [&](std::vector<double>& values, int64_t count) {
      for (int64_t k = 0; k < count; ++k) values.push_back(float(random()) / 0x80000000u - 1);
    };
    fill(h, N * H), fill(W, V * H), fill(b, V), fill(weights, N);
    for (int64_t i = 0; i < N; ++i) classes.push_back(random() % V);
    for (int64_t i = 1; i < N; i += 4) weights[i] = 0;
  }

  // bfloat16: with the operands of all products rounded.
  Results expected(bool bfloat16 = false) const {
    std::vector<double> h = this->h, W = this->W;
    const auto round = [&](double x) { return bfloat16 ? to_bfloat16(x) : x; };
    std::transform(h.begin(), h.end(), h.begin(), round), std::transform(W.begin(), W.end(), W.begin(), round);
    Results r{std::vector<double>(N), std::vector<double>(N * H), std::vector<double>(V * H), std::vector<double>(V)};
    for (int64_t i = 0; i < N; ++i) {
      std::vector<double> z = b;
      double total = 0, mean = 0;
      for (int64_t v = 0; v < V; ++v) {
        for (int64_t k = 0; k < H; ++k) z[v] += h[i * H + k] * W[v * H + k];
        total += std::exp(z[v]), mean += z[v] / V;
      }
      r.losses[i] = weights[i] * (std::log(total) - (1 - smoothing) * z[classes[i]] - smoothing * mean);
      for (int64_t v = 0; v < V; ++v) {
        const double dz = weights[i] * (std::exp(z[v]) / total - smoothing / V - (v == classes[i] ? 1 - smoothing : 0));
        r.db[v] += dz;
        for (int64_t k = 0; k < H; ++k) r.dh[i * H + k] += round(dz) * W[v * H + k], r.dW[v * H + k] += round(dz) * h[i * H + k];
      }
    }
    return r;
  }

  template <class F>
  Results run(int threads, bool gradients = true, bool bfloat16 = false) const {
    const auto as = [](const std::vector<double>& values) { return std::vector<F>(values.begin(), values.end()); };
    const std::vector<F> h = as(this->h), W = as(this->W), b = as(this->b), weights = as(this->weights);
    Guarded<F> losses(N), dh(N * H), dW(V * H), db(V);
    OutputLayer<F> q{.N = N, .H = H, .V = V, .h = h.data(), .W = W.data(), .b = b.data(), .classes = classes.data()};
    q.weights = weights.data(), q.smoothing = F(smoothing), q.losses = losses.data(), q.threads = threads;
    q.bfloat16 = bfloat16;
    if (gradients) q.dh = dh.data(), q.dW = dW.data(), q.db = db.data();
    cross_entropy(q);
    CHECK((losses.unharmed() && dh.unharmed() && dW.unharmed() && db.unharmed()));
    const auto of = [](const std::vector<F>& values) { return std::vector<double>(values.begin(), values.end()); };
    return {of(losses.values()), of(dh.values()), of(dW.values()), of(db.values())};
  }
};

// The largest error, of numbers near 1.
double error(const std::vector<double>& got, const std::vector<double>& expected) {
  double most = 0;
  for (size_t k = 0; k < got.size(); ++k) {
    const double off = std::abs(got[k] - expected[k]) / (1 + std::abs(expected[k]));
    most = off <= most ? most : off;  // a NaN counts
  }
  return most;
}

TEST_CASE_TEMPLATE("losses and gradients are those of plain loops", F, float, double) {
  const double most = sizeof(F) == 4 ? 3e-5 : 1e-13;
  with_every_instruction_set([&](const char* name) {
    for (const auto& [N, H, V] :
         std::vector<std::array<int64_t, 3>>{{1, 1, 1}, {2, 3, 2}, {5, 16, 64}, {7, 65, 63}, {70, 20, 131}, {400, 9, 33}, {390, 70, 300}})
      for (const double smoothing : {0.0, 0.1}) {
        const Trial trial(N, H, V, smoothing);
        const Results got = trial.run<F>(1), expected = trial.expected();
        INFO(name, ", N ", N, ", H ", H, ", V ", V);
        CHECK(error(got.losses, expected.losses) < most);
        CHECK(error(got.dh, expected.dh) < most);
        CHECK(error(got.dW, expected.dW) < most);
        CHECK(error(got.db, expected.db) < most);
      }
  });
}

TEST_CASE("with bfloat16 they are those of loops over rounded operands") {
  with_every_instruction_set([&](const char* name) {
    for (const auto& [N, H, V] : std::vector<std::array<int64_t, 3>>{{1, 1, 1}, {2, 3, 2}, {5, 16, 64}, {7, 65, 63}, {391, 70, 301}}) {
      const Trial trial(N, H, V, 0.1);
      const Results got = trial.run<float>(1, true, true), expected = trial.expected(true), two = trial.run<float>(2, true, true);
      INFO(name, ", N ", N, ", H ", H, ", V ", V);
      CHECK(error(got.losses, expected.losses) < 3e-5);
      // a gradient of a logit that lies between two bfloat16 may be rounded to the other
      CHECK(error(got.dh, expected.dh) < 2e-3);
      CHECK(error(got.dW, expected.dW) < 2e-3);
      CHECK(error(got.db, expected.db) < 3e-5);
      CHECK((two.losses == got.losses && two.dh == got.dh && two.dW == got.dW && two.db == got.db));
    }
  });
}

TEST_CASE_TEMPLATE("no bit depends on the number of threads, nor on whether gradients are wanted", F, float, double) {
  with_every_instruction_set([](const char*) {
    const Trial trial(390, 70, 300, 0.1);
    const Results one = trial.run<F>(1);
    for (const int threads : {2, 3}) {
      const Results some = trial.run<F>(threads);
      CHECK((some.losses == one.losses && some.dh == one.dh && some.dW == one.dW && some.db == one.db));
    }
    CHECK(trial.run<F>(1, false).losses == one.losses);
  });
}

TEST_CASE("the loss of a row that does not count is 0 whatever it holds, and no rows give gradients of zero") {
  with_every_instruction_set([](const char*) {
    Trial trial(6, 5, 70, 0.1);
    for (int64_t k = 0; k < 5; ++k) trial.h[5 + k] = std::nan("");  // row 1 has weight 0
    const Results got = trial.run<float>(1);
    CHECK(got.losses[1] == 0);
    for (const double loss : got.losses) CHECK(std::isfinite(loss));
    const Results none = Trial(0, 5, 70, 0).run<float>(1);
    CHECK(none.dW == std::vector<double>(5 * 70));
    CHECK(none.db == std::vector<double>(70));
  });
}

}  // namespace
}  // namespace carrousel::test
