// The rule for the instruction set in force: trials form groups, and threads take groups.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <iterator>
#include <thread>
#include <vector>

#include "carrousel/sequence.hpp"
#include "carrousel/targets.hpp"
#include "lstm1997/target.hpp"

namespace carrousel::lstm1997 {
namespace {

const RuleTable& current() {
#define CARROUSEL_ADDRESS(name) &lstm1997_##name::target,
  static constexpr const RuleTable* all[] = {CARROUSEL_TARGETS(CARROUSEL_ADDRESS)};
#undef CARROUSEL_ADDRESS
  return **std::find_if(all, std::end(all) - 1, [](const RuleTable* one) { return !std::strcmp(one->name, instruction_set()); });
}

using Group = std::vector<Trial*>;

constexpr int single_is_faster = 2;  // so many trials run faster one after the other than in lanes of which most are empty

// Divides trials into groups of at most `widest`, as many and as equal as the threads need.
void divide(const Group& trials, int widest, int threads, std::vector<Group>& groups) {
  const int count = int(trials.size());
  int parts = std::max((count + widest - 1) / widest, std::min(threads, count));
  if (count <= parts * single_is_faster) parts = count;
  for (int p = 0; p < parts; ++p)
    groups.emplace_back(trials.begin() + int64_t(count) * p / parts, trials.begin() + int64_t(count) * (p + 1) / parts);
}

template <class Run>  // calls run(i) for i below count
void over_threads(int count, int threads, Run run) {
  std::atomic<int> next{0};
  const auto work = [&] {
    for (int i; (i = next++) < count;) run(i);
  };
  std::vector<std::thread> others;
  for (int i = 1; i < std::min(threads, count); ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
}

}  // namespace

void present(const Network& network, const Rule& rule, const Stop& stop, Trial* trials, int64_t count, int threads) {
  const RuleTable& target = current();
  Group by_kind[2][2];  // by symbols or numbers, and with targets at the ends or at every step
  for (int64_t i = 0; i < count; ++i) {
    const Block& block = trials[i].block;
    if (!trials[i].stopped && block.count) by_kind[block.symbols != nullptr][block.at_end].push_back(&trials[i]);
  }
  std::vector<Group> groups;
  for (const auto& pair : by_kind)
    for (const Group& group : pair)
      if (!group.empty()) divide(group, target.widest(network, group[0]->block), threads, groups);
  over_threads(int(groups.size()), threads, [&](int i) { target.present(network, rule, stop, groups[i].data(), int(groups[i].size())); });
}

template <>
Online<float>* make_online(const Network& network) {
  return current().make_f32(network);
}
template <>
Online<double>* make_online(const Network& network) {
  return current().make_f64(network);
}

}  // namespace carrousel::lstm1997
