// The rule of 1997 for one instruction set: compiled once for each, with CARROUSEL_TARGET set to its name.
#include "target.hpp"

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "lanes.hpp"
#include "present_alone.hpp"

namespace carrousel::CARROUSEL_TARGET {
namespace {

using lstm1997::Stop;

#if defined(__AVX512F__)
constexpr int widest = 16;
#else
constexpr int widest = 8;
#endif
constexpr int alone_is_faster = 2;  // so many trials take less time one after the other than in lanes that stay empty

bool is_small(const Network& n) { return n.cells() <= 4 && n.H <= 4; }

// run(N, NK) with vectors as wide as the layers are: a narrow one takes less time from its first to its last instruction.
template <class F, class Run>
auto with_widths(const Network& n, Run run) {
  constexpr std::integral_constant<int, 4> four;
  constexpr std::integral_constant<int, 8> eight;
  constexpr std::integral_constant<int, sizeof(F) == 4 ? widest : 8> wide;
  if (n.K > 8) return is_small(n) ? run(four, wide) : run(eight, wide);
  if (n.K > 4) return is_small(n) ? run(four, eight) : run(eight, eight);
  return is_small(n) ? run(four, four) : run(eight, four);
}

template <class F>
lstm1997::Online<F>* online(const Network& n) {
  return with_widths<F>(n, [&](auto N, auto NK) -> lstm1997::Online<F>* { return new Alone<F, N, NK>(n); });
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
    tasks.push_back([&, trial] { with_widths<float>(n, [&](auto N, auto NK) { present_alone<N, NK>(n, rule, stop, *trial); }); });
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
