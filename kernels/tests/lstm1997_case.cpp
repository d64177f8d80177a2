#include "lstm1997_case.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "run.hpp"

namespace carrousel::test {
namespace {

using lstm1997::Errors;
using lstm1997::Trial;

constexpr int ring = 8;
constexpr int numbers_in_errors = sizeof(Errors) / sizeof(float);

Network everything_biased(int I, int K, int C, int S) {
  Network n;
  n.I = I;
  n.K = K;
  n.C = C;
  n.S = S;
  n.cells_biased = n.gates_biased = n.hidden_biased = n.outputs_biased = true;
  return n;
}

Network changed(Network n, void (*change)(Network&)) {
  change(n);
  return n;
}

std::vector<double> uniform(std::mt19937& random, int64_t size, double low, double high) {
  std::vector<double> values(size);
  for (double& value : values) value = low + (high - low) * (random() / 4294967296.0);
  return values;
}

std::vector<double> whole(std::mt19937& random, int64_t size, int first, int last) {
  std::vector<double> values(size);
  for (double& value : values) value = first + int(random() % (last - first + 1));
  return values;
}

}  // namespace

const std::vector<Described>& networks_of_1997() {
  static const std::vector<Described> all = {
      {"experiment 4", everything_biased(2, 1, 2, 2)},
      {"experiment 6b", everything_biased(8, 8, 3, 2)},
      {"experiment 1", changed(everything_biased(7, 7, 4, 1), [](Network& n) { n.cells_biased = n.outputs_biased = false; })},
      {"experiment 1, shortcuts", changed(everything_biased(7, 7, 3, 2), [](Network& n) { n.shortcuts = true; })},
      {"experiment 2a",
       changed(Network{},
               [](Network& n) { n.I = n.K = 37, n.output_gates = n.recurrent = n.wide_g = n.squash_h = false, n.shortcuts = true; })},
      {"experiment 2c", changed(Network{}, [](Network& n) { n.I = 20, n.K = 2, n.C = 2; })},
      {"cells that do not see themselves", changed(everything_biased(3, 2, 2, 1), [](Network& n) { n.recurrent_cells = false; })},
      {"many outputs", everything_biased(3, 21, 1, 2)},
      {"conventional units, linear outputs",
       changed(everything_biased(3, 2, 2, 3), [](Network& n) { n.H = 5, n.logistic_output = false; })},
      {"no blocks", changed(Network{}, [](Network& n) { n.I = 3, n.K = 2, n.C = 0, n.recurrent = false, n.shortcuts = true; })},
  };
  return all;
}

bool Result::operator==(const Result& other) const {
  return same_bits(weights, other.weights) && same_bits(errors, other.errors) && same_bits(outputs, other.outputs) &&
         presented == other.presented && stopped == other.stopped;
}

TrialOf1997::TrialOf1997(const Network& n, Telling telling, int number) : at_end_(telling.at_end) {
  std::mt19937 random(number + 1);
  count_ = number % 5 == 4 ? 0 : 3 + number % 4;
  const std::vector<double> lengths = whole(random, count_, 1, 40);
  int64_t steps = 0;
  for (const double length : lengths) steps += int64_t(length);
  const int64_t rows = at_end_ ? count_ : steps;
  lengths_ = Guarded<int32_t>(lengths);
  weights_ = uniform(random, n.weight_count(), -0.7, 0.7);
  if (telling.symbols)
    symbols_ = Guarded<int32_t>(whole(random, steps, -1, n.I - 1));
  else
    x_ = Guarded<float>(uniform(random, steps * n.I, -1, 1));
  if (telling.classes) {
    std::vector<double> classes = whole(random, rows, 0, n.K - 1);
    for (double& which : classes)
      if (!at_end_ && random() % 10 < 3) which = -1;
    classes_ = Guarded<int32_t>(classes);
  } else {
    std::vector<double> targets = uniform(random, rows * n.K, 0, 1);
    for (int64_t row = 0; row < rows; ++row)
      if (!at_end_ && random() % 10 < 3) targets[row * n.K] = std::numeric_limits<double>::quiet_NaN();
    targets_ = Guarded<float>(targets);
  }
  outputs_ = Guarded<float>(rows * n.K);
}

Trial TrialOf1997::trial() {
  weights_now_ = Guarded<float>(weights_);
  errors_ = Guarded<float>(count_ * numbers_in_errors);
  recent_ = Guarded<float>(ring * numbers_in_errors);
  outputs_ = Guarded<float>(int64_t(outputs_.values().size()));
  Trial t;
  t.block = {count_, lengths_.data(), x_.data(), symbols_.data(), targets_.data(), classes_.data(), at_end_};
  t.weights = weights_now_.data();
  t.outputs = outputs_.data();
  t.errors = reinterpret_cast<Errors*>(errors_.data());
  t.recent = reinterpret_cast<Errors*>(recent_.data());
  t.ring = ring;
  return t;
}

Result TrialOf1997::result(const Trial& after) {
  for (const Guarded<float>* one : {&x_, &targets_, &weights_now_, &errors_, &outputs_, &recent_}) CHECK(one->unharmed());
  for (const Guarded<int32_t>* one : {&lengths_, &symbols_, &classes_}) CHECK(one->unharmed());
  return {weights_now_.values(), errors_.values(), outputs_.values(), after.presented, after.stopped};
}

std::vector<Result> present_of_1997(const Network& network, Telling telling, const lstm1997::Rule& rule, const lstm1997::Stop& stop,
                                    const std::vector<int>& numbers, int threads) {
  std::vector<TrialOf1997> owners;
  for (const int number : numbers) owners.emplace_back(network, telling, number);
  std::vector<Trial> trials;
  for (TrialOf1997& owner : owners) trials.push_back(owner.trial());
  present(network, rule, stop, trials.data(), int64_t(trials.size()), threads);
  std::vector<Result> results;
  for (size_t i = 0; i < owners.size(); ++i) results.push_back(owners[i].result(trials[i]));
  return results;
}

}  // namespace carrousel::test
