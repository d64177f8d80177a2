// A trial of 1997 gives the same bits alone and beside any others, on any number of threads and in every instruction set: the lanes
// of a vector and the single network compute the same sums in the same order.
#include <doctest/doctest.h>

#include <numeric>
#include <string>

#include "lstm1997_case.hpp"
#include "run.hpp"

namespace carrousel::test {
namespace {

using lstm1997::Rule;
using lstm1997::Stop;

constexpr Telling tellings[] = {{false, true, false},  {true, true, true},  {false, true, true},  {true, true, false},
                                {false, false, false}, {true, false, true}, {false, false, true}, {true, false, false}};

std::vector<int> counted(int first, int last) {
  std::vector<int> numbers(last - first);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

void check_company(const Described& described, Telling telling, const Rule& rule, const Stop& stop) {
  INFO(std::string(described.name), ", symbols ", telling.symbols, ", at_end ", telling.at_end, ", classes ", telling.classes);
  const std::vector<Result> expected = present_of_1997(described.network, telling, rule, stop, counted(0, 21), 1);
  const auto check = [&](const std::vector<int>& numbers, int threads) {
    const std::vector<Result> got = present_of_1997(described.network, telling, rule, stop, numbers, threads);
    for (size_t i = 0; i < numbers.size(); ++i) {
      INFO("trial ", numbers[i], " of ", numbers.size(), " on ", threads, " threads");
      CHECK(got[i] == expected[numbers[i]]);
    }
  };
  with_every_instruction_set([&](const char* name) {
    INFO(std::string(name));
    check(counted(0, 21), 2);  // a whole vector and a partial one
    check(counted(2, 9), 1);   // fewer than a vector of eight
    check({3}, 1);
    check({10}, 1);
  });
}

TEST_CASE("1997: a trial is the same bits in any company") {
  for (const Described& described : networks_of_1997())
    for (const Telling telling : tellings)
      for (const bool each_step : {false, true}) check_company(described, telling, {0.4, true, each_step, false}, {});
}

TEST_CASE("1997: the same with the error signal of cross-entropy, and with frozen weights") {
  for (const Described& described : networks_of_1997())
    for (const bool at_end : {false, true}) {
      check_company(described, {true, at_end, false}, {0.4, true, false, true}, {});
      check_company(described, {true, at_end, false}, {0.4, false, false, false}, {});
    }
}

TEST_CASE("1997: a criterion stops each trial where it would alone") {
  const Described& described = networks_of_1997()[0];
  Stop stop;
  stop.window = 2;
  stop.bound = 1;
  stop.mean = 0.3;
  for (const Telling telling : {tellings[0], tellings[4]}) {
    int stopped = 0;
    for (const Result& result : present_of_1997(described.network, telling, {0.4}, stop, counted(0, 21), 1)) stopped += result.stopped;
    CHECK(stopped > 0);
    CHECK(stopped < 21);
    check_company(described, telling, {0.4}, stop);
  }
}

TEST_CASE("1997: frozen weights stay, and outputs without a target are not written") {
  for (const Described& described : networks_of_1997()) {
    INFO(std::string(described.name));
    TrialOf1997 owner(described.network, tellings[4], 0);
    lstm1997::Trial trial = owner.trial();
    const std::vector<float> before(trial.weights, trial.weights + described.network.weight_count());
    present(described.network, {0.4, false}, {}, &trial, 1, 1);
    const Result result = owner.result(trial);
    CHECK(same_bits(result.weights, before));
    const int64_t rows = int64_t(result.outputs.size()) / described.network.K;
    for (int64_t row = 0; row < rows; ++row) {
      const bool has_target = trial.block.targets[row * described.network.K] == trial.block.targets[row * described.network.K];
      for (int k = 0; k < described.network.K; ++k) CHECK(untouched(result.outputs[row * described.network.K + k]) == !has_target);
    }
  }
}

TEST_CASE("1997: the reported errors are those of the outputs") {
  const Network& n = networks_of_1997()[1].network;
  for (const int together : {1, 9}) {
    std::vector<TrialOf1997> owners;
    for (int number = 0; number < together; ++number) owners.emplace_back(n, tellings[4], number);
    std::vector<lstm1997::Trial> trials;
    for (TrialOf1997& owner : owners) trials.push_back(owner.trial());
    present(n, {0.4, false}, {}, trials.data(), together, 1);
    const lstm1997::Trial& trial = trials[0];
    const float *target = trial.block.targets, *said = trial.outputs;
    for (int64_t i = 0; i < trial.block.count; ++i) {
      double absolute = 0, squared = 0, largest = 0, last = 0;
      int rows = 0;
      for (int t = 0; t < trial.block.lengths[i]; ++t, target += n.K, said += n.K) {
        if (*target != *target) continue;
        last = 0;
        ++rows;
        for (int k = 0; k < n.K; ++k) {
          const double e = std::abs(double(target[k]) - said[k]);
          last = std::max(last, e);
          absolute += e;
          squared += e * e;
        }
        largest = std::max(largest, last);
      }
      CHECK(trial.errors[i].largest == doctest::Approx(largest).epsilon(1e-5));
      CHECK(trial.errors[i].at_end == doctest::Approx(last).epsilon(1e-5));
      CHECK(trial.errors[i].absolute == doctest::Approx(rows ? absolute / (rows * n.K) : 0).epsilon(1e-5));
      CHECK(trial.errors[i].squared == doctest::Approx(rows ? squared / (rows * n.K) : 0).epsilon(1e-5));
    }
  }
}

TEST_CASE("1997: nothing to present is nothing") {
  const Network& n = networks_of_1997()[0].network;
  present(n, {0.4}, {}, nullptr, 0, 2);
  const std::vector<Result> results = present_of_1997(n, {}, {0.4}, {}, {4, 9, 14}, 2);  // blocks without a sequence
  for (const Result& result : results) CHECK(result.presented == 0);
}

}  // namespace
}  // namespace carrousel::test
