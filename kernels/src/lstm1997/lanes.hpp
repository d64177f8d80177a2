// Many trials of one network, one in each lane of a vector, their n-th sequences side by side. For networks of C blocks of S cells
// with output gates, without conventional units, with a recurrent hidden layer. The arithmetic is that of Single, sum by sum.
#pragma once
#include "lstm1997/judge.hpp"
#include "lstm1997/lane_changes.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <int W, int C, int S>
class Lanes {
  using V = vec<float, W>;

 public:
  Lanes(const Network& network, const Rule& rule, const lstm1997::Stop& stop, Trial* const* trials, int count)
      : rule(rule),
        stop(stop),
        blocks(network, trials, count),
        weights(network, blocks.symbolic && network.I > small_alphabet),
        units(weights),
        errors(weights),
        changes(weights, rule.rate) {}

  void run() {
    int64_t most = 0;
    for (int lane = 0; lane < blocks.taken; ++lane) {
      weights.load(lane, blocks.trial[lane]->weights);
      most = std::max(most, blocks.trial[lane]->block.count);
    }
    for (int64_t i = 0; i < most; ++i)
      if (!sequence(i)) break;
    for (int lane = 0; lane < blocks.taken && rule.learn; ++lane) weights.save(lane, blocks.trial[lane]->weights);
  }

 private:
  // The i-th sequence of every trial that still has one; false if none has.
  bool sequence(int64_t i) {
    const int longest = blocks.open(i);
    if (!longest) return false;
    units.forget();
    errors.forget();
    for (int t = 0; t < longest; ++t) {
      blocks.load_step(t);
      units.step(weights, blocks, t, rule.learn);
      if (!blocks.any_target(t)) continue;
      errors.compute(weights, units, blocks, t, rule);
      if (rule.learn && !blocks.at_end) learn(t);
    }
    if (rule.learn && blocks.at_end)
      changes.apply(weights, units, errors, blocks.length > 0, blocks.taken);  // those that ended earlier have waited for the others
    else if (rule.learn && !rule.each_step)
      changes.apply_collected(weights, units, errors);
    errors.report(blocks, weights.n.K);
    blocks.close([&](int lane) { judge(stop, *blocks.trial[lane], i); });
    return true;
  }

  void learn(int t) {
    if (rule.each_step)
      changes.apply(weights, units, errors, blocks.has_target(t), blocks.taken);
    else
      changes.collect(weights, units, errors, blocks.has_target(t));
  }

  const Rule rule;
  const lstm1997::Stop stop;
  LaneBlocks<W> blocks;
  LaneWeights<W, C, S> weights;
  LaneUnits<W, C, S> units;
  LaneErrors<W, C, S> errors;
  LaneChanges<W, C, S> changes;
};

}  // namespace carrousel::CARROUSEL_TARGET
