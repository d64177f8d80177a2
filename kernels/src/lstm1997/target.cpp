// The rule of 1997 for one instruction set: compiled once for each, with CARROUSEL_TARGET set to its name.
#include "target.hpp"

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "alone.hpp"
#include "judge.hpp"
#include "lanes.hpp"

namespace carrousel::CARROUSEL_TARGET {
namespace {

using lstm1997::Stop;

#if defined(__AVX512F__)
constexpr int widest = 16;
#else
constexpr int widest = 8;
#endif
constexpr int alone_is_faster = 2;  // so many trials take less time one after the other than in lanes that stay empty

bool is_small(const Network& n) { return n.cells() <= 4 && n.K <= 4 && n.H <= 4; }

template <class F>
lstm1997::Online<F>* online(const Network& n) {
  if (is_small(n)) return new Alone<F, 4>(n);
  return new Alone<F, 8>(n);
}

// One trial's block in one network.
template <int N>
void present_alone(const Network& n, const Rule& rule, const Stop& stop, Trial& trial) {
  Alone<float, N> network(n);
  network.load(trial.weights);
  const Block& block = trial.block;
  int64_t begin = 0;
  for (int64_t i = 0; i < block.count && !trial.stopped; ++i) {
    const int T = block.lengths[i];
    const auto at = [&](int t) { return block.at_end ? i : begin + t; };
    const auto wanted = [&](int t) {
      if (block.at_end) return t == T - 1;
      return block.targets ? block.targets[at(t) * n.K] == block.targets[at(t) * n.K] : block.classes[at(t)] >= 0;
    };
    const auto target = [&](int t, int k) { return block.targets ? block.targets[at(t) * n.K + k] : float(block.classes[at(t)] == k); };
    const auto said = [&](int t) { return trial.outputs ? trial.outputs + at(t) * n.K : nullptr; };
    trial.errors[i] = network.sequence(rule, T, block.x ? block.x + begin * n.I : nullptr, block.symbols ? block.symbols + begin : nullptr,
                                       target, wanted, said);
    begin += T;
    judge(stop, trial, i);
  }
  if (rule.learn) network.save(trial.weights);
}

using Group = std::vector<Trial*>;

template <int C, int S>
void present_lanes(const Network& n, const Rule& rule, const Stop& stop, const Group& group) {
  if constexpr (widest == 16)
    if (group.size() > 8) return Lanes<16, C, S>(n, rule, stop).run(group.data(), int(group.size()));
  Lanes<8, C, S>(n, rule, stop).run(group.data(), int(group.size()));
}

using Present = void (*)(const Network&, const Rule&, const Stop&, const Group&);

Present lanes_for(const Network& n) {
  static constexpr Present table[4][2] = {{present_lanes<1, 1>, present_lanes<1, 2>},
                                          {present_lanes<2, 1>, present_lanes<2, 2>},
                                          {present_lanes<3, 1>, present_lanes<3, 2>},
                                          {present_lanes<4, 1>, present_lanes<4, 2>}};
  const bool fits = n.recurrent && n.output_gates && !n.H && n.C >= 1 && n.C <= 4 && n.S >= 1 && n.S <= 2;
  return fits ? table[n.C - 1][n.S - 1] : nullptr;
}

// Groups for the lanes, as many and as even as the threads want them.
void divide(const Group& trials, int threads, std::vector<Group>& groups) {
  const int count = int(trials.size());
  const int parts = std::max((count + widest - 1) / widest, std::min(threads, count));
  for (int p = 0; p < parts; ++p)
    groups.emplace_back(trials.begin() + int64_t(count) * p / parts, trials.begin() + int64_t(count) * (p + 1) / parts);
}

void run_all(const std::vector<std::function<void()>>& tasks, int threads) {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i; (i = next++) < tasks.size();) tasks[i]();
  };
  std::vector<std::thread> others;
  for (int i = 1; i < std::min(threads, int(tasks.size())); ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
}

void present(const Network& n, const Rule& rule, const Stop& stop, Trial* trials, int64_t count, int threads) {
  const Present lanes = lanes_for(n);
  Group dense, symbolic, alone;
  for (int64_t i = 0; i < count; ++i) {
    Trial& trial = trials[i];
    if (trial.stopped || !trial.block.count) continue;
    open_window(stop, trial);
    (!lanes || !trial.block.at_end ? alone : trial.block.symbols ? symbolic : dense).push_back(&trial);
  }
  std::vector<Group> groups;
  divide(dense, threads, groups);
  divide(symbolic, threads, groups);
  std::vector<std::function<void()>> tasks;
  for (const Group& group : groups) {
    if (int(group.size()) <= alone_is_faster)
      alone.insert(alone.end(), group.begin(), group.end());
    else
      tasks.push_back([&] { lanes(n, rule, stop, group); });
  }
  for (Trial* trial : alone)
    tasks.push_back([&, trial] { is_small(n) ? present_alone<4>(n, rule, stop, *trial) : present_alone<8>(n, rule, stop, *trial); });
  run_all(tasks, threads);
}

}  // namespace

#if defined(__AVX512F__)
extern const lstm1997::Target target = {"avx512", present, online<float>, online<double>};
#elif defined(__AVX2__)
extern const lstm1997::Target target = {"avx2", present, online<float>, online<double>};
#elif defined(__aarch64__)
extern const lstm1997::Target target = {"neon", present, online<float>, online<double>};
#else
extern const lstm1997::Target target = {"baseline", present, online<float>, online<double>};
#endif

}  // namespace carrousel::CARROUSEL_TARGET
