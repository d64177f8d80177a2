// The truncated rule of 1997: the summed change equals the slope of the summed squared error with frozen recurrent inputs, by
// finite differences of plain loops in double precision.
#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <random>
#include <string>

#include "lstm1997_case.hpp"
#include "run.hpp"

namespace carrousel::test {
namespace {

using lstm1997::Online;
using Values = std::vector<double>;

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

// (6)-(9), one unit at a time.
struct Plain {
  const Network& n;
  const Values& weights;
  Values s = Values(n.cells()), y = Values(n.units());

  Values step(const Values& x, const Values& before) {
    const int U = n.units(), cells = n.cells();
    Values net(U);
    const double* bias = &weights[int64_t(U) * n.Z()];
    for (int u = 0; u < U; ++u) {
      const double* w = &weights[int64_t(u) * n.Z()];
      for (int m = 0; m < n.I; ++m) net[u] += w[m] * x[m];
      for (int j = 0; j < U && n.recurrent; ++j) net[u] += w[n.I + j] * before[j];
      if (n.biased(u)) net[u] += *bias++;
    }
    for (int u = cells; u < U; ++u) y[u] = logistic(net[u]);
    for (int c = 0; c < cells; ++c) {
      const double g = n.wide_g ? 4 * logistic(net[c]) - 2 : logistic(net[c]);
      s[c] += y[cells + c / n.S] * g;
      const double h = n.squash_h ? 2 * logistic(s[c]) - 1 : s[c];
      y[c] = n.output_gates ? y[cells + n.C + c / n.S] * h : h;
    }
    return respond(x, bias);
  }

 private:
  Values respond(const Values& x, const double* w) const {
    Values above = n.shortcuts ? x : Values();
    above.insert(above.end(), y.begin(), y.begin() + n.cells());
    above.insert(above.end(), y.end() - n.H, y.end());
    Values said(n.K);
    const double* bias = w + int64_t(n.K) * n.M();
    for (int k = 0; k < n.K; ++k) {
      for (const double z : above) said[k] += *w++ * z;
      if (n.outputs_biased) said[k] += bias[k];
      if (n.logistic_output) said[k] = logistic(said[k]);
    }
    return said;
  }
};

// A stream of inputs: numbers, the index of the one that is on, or alternately both.
struct Stream {
  static constexpr int T = 9;
  std::vector<Values> x, targets, before;
  std::vector<int> symbols;
  bool every_step;

  Stream(const Network& n, int way, bool every_step) : every_step(every_step) {
    std::mt19937 random(way + 3);
    const auto sample_units = [&](int size, double low) {
      Values values(size);
      for (double& value : values) value = low + (1 - low) * (random() / 4294967296.0);
      return values;
    };
    for (int t = 0; t < T; ++t) {
      symbols.push_back(way == 0 || (way == 2 && t % 3 == 0) ? -2 : int(random() % 4) - (t + 1 < T));
      x.push_back(symbols[t] == -2 ? sample_units(n.I, -1) : Values(n.I));
      if (symbols[t] >= 0) x[t][symbols[t] % n.I] = 1, symbols[t] %= n.I;
      targets.push_back(sample_units(n.K, 0));
    }
  }
  bool has_target(int t) const { return every_step ? t != 2 : t == T - 1; }
};

double half_error(const Network& n, const Values& weights, const Stream& stream) {
  Plain plain{n, weights};
  double sum = 0;
  for (int t = 0; t < Stream::T; ++t) {
    const Values said = plain.step(stream.x[t], stream.before[t]);
    for (int k = 0; k < n.K && stream.has_target(t); ++k) sum += (stream.targets[t][k] - said[k]) * (stream.targets[t][k] - said[k]) / 2;
  }
  return sum;
}

// The rule's change at alpha = 1; records the hidden layer's recurrent inputs in the stream.
Values change(const Network& n, const Values& weights, Stream& stream) {
  const std::unique_ptr<Online<double>> online(lstm1997::make_online<double>(n));
  online->load(weights.data());
  Plain plain{n, weights};
  Guarded<double> said(n.K), s(n.cells()), y(n.units());
  for (int t = 0; t < Stream::T; ++t) {
    stream.before.push_back(plain.y);
    const double* x = stream.symbols[t] == -2 ? stream.x[t].data() : nullptr;
    online->learn({1}, x, stream.symbols[t], stream.has_target(t) ? stream.targets[t].data() : nullptr, said.data());
    const Values expected = plain.step(stream.x[t], stream.before[t]);
    for (int k = 0; k < n.K; ++k) CHECK(said.values()[k] == doctest::Approx(expected[k]).epsilon(1e-12));
  }
  online->state(s.data(), y.data());
  for (int u = 0; u < n.units(); ++u) CHECK(y.values()[u] == doctest::Approx(plain.y[u]).epsilon(1e-12));
  online->reset();
  Guarded<double> after(weights.size());
  online->save(after.data());
  CHECK((said.unharmed() && s.unharmed() && y.unharmed() && after.unharmed()));
  Values difference = after.values();
  for (size_t i = 0; i < weights.size(); ++i) difference[i] -= weights[i];
  return difference;
}

bool learns(const Network& n, size_t weight) {  // all do, except those from the hidden layer into cells that do not read it
  const size_t unit = weight / n.Z(), source = weight % n.Z();
  return n.recurrent_cells || unit >= size_t(n.cells()) || source < size_t(n.I);
}

void check_slope(const Network& n, int way, bool every_step) {
  Stream stream(n, way, every_step);
  std::mt19937 random(1);
  Values weights(n.weight_count());
  for (double& w : weights) w = random() / 2147483648.0 - 1;
  const Values found = change(n, weights, stream);
  double largest = 0, wrong = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    Values up = weights, down = weights;
    up[i] += 1e-5;
    down[i] -= 1e-5;
    const double slope = learns(n, i) ? -(half_error(n, up, stream) - half_error(n, down, stream)) / 2e-5 : 0;
    largest = std::max(largest, std::abs(slope));
    wrong = std::max(wrong, std::abs(slope - found[i]));
  }
  CHECK(wrong < 1e-7);
  CHECK(largest > 1e-3);
}

TEST_CASE("1997: the truncated change is the slope with frozen recurrence") {
  for (const Described& described : networks_of_1997())
    for (const int way : {0, 1, 2})
      for (const bool every_step : {true, false})
        with_every_instruction_set([&](const char* name) {
          INFO(std::string(described.name), ", inputs ", way, ", every step ", every_step, ", ", std::string(name));
          check_slope(described.network, way, every_step);
        });
}

template <class F>
std::vector<F> learned(Online<F>& online, const Network& n, int steps) {
  std::mt19937 random(steps);
  std::vector<F> x(n.I), target(n.K), said(n.K), all;
  for (int t = 0; t < steps; ++t) {
    for (F& value : x) value = F(random() / 4294967296.0);
    for (F& value : target) value = F(random() / 4294967296.0);
    const bool by_index = t % 2;
    online.learn({0.3, true, t % 3 == 0, false}, by_index ? nullptr : x.data(), by_index ? t % n.I : -1, t % 4 ? target.data() : nullptr,
                 said.data());
    all.insert(all.end(), said.begin(), said.end());
  }
  return all;
}

template <class F>
void check_memory(const Network& n) {
  const auto made = [&] { return std::unique_ptr<Online<F>>(lstm1997::make_online<F>(n)); };
  const auto first = made(), second = made();
  std::vector<F> weights(n.weight_count());
  std::mt19937 random(1);
  for (F& w : weights) w = F(random() / 2147483648.0 - 1);
  first->load(weights.data());
  learned(*first, n, 13);
  Guarded<F> now(n.weight_count()), memory(first->memory_size());
  first->save(now.data());
  first->read_memory(memory.data());
  second->load(now.data());
  second->write_memory(memory.data());
  CHECK((now.unharmed() && memory.unharmed()));
  std::vector<F> x(n.I, F(0.25)), said(n.K), again(n.K);
  first->predict(x.data(), -1, said.data());  // commits nothing
  first->predict(x.data(), -1, again.data());
  CHECK(same_bits(said, again));
  CHECK(same_bits(learned(*first, n, 17), learned(*second, n, 17)));
  first->reset();
  second->reset();
  CHECK(same_bits(learned(*first, n, 5), learned(*second, n, 5)));
}

TEST_CASE("1997: a network goes on from its memory bit for bit, and a prediction commits nothing") {
  for (const Described& described : networks_of_1997())
    with_every_instruction_set([&](const char* name) {
      INFO(std::string(described.name), ", ", std::string(name));
      check_memory<float>(described.network);
      check_memory<double>(described.network);
    });
}

}  // namespace
}  // namespace carrousel::test
