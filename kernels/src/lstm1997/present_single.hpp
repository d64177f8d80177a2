// One trial's block in one network.
#pragma once
#include "lstm1997/judge.hpp"
#include "lstm1997/single.hpp"

namespace carrousel::CARROUSEL_TARGET {

// The steps of one sequence of the block; `begin` is its first row.
struct Reader {
  const lstm1997::Block& block;
  const Network& n;
  float* outputs;
  int64_t i, begin;

  struct Step {
    Input<float> input;
    TargetOutput<float> wanted;
    float* y_to;
  };
  Step operator()(int t) const {
    const int64_t row = begin + t;
    const Input<float> input{block.x ? block.x + row * n.I : nullptr, block.symbols ? block.symbols[row] : -1};
    if (block.at_end && t + 1 < block.lengths[i]) return {input, {}, nullptr};
    const int64_t target_row = block.at_end ? i : row;
    const float* target = block.targets ? block.targets + target_row * n.K : nullptr;
    const TargetOutput<float> wanted{target && *target == *target ? target : nullptr, target ? -1 : block.classes[target_row]};
    return {input, wanted, outputs ? outputs + target_row * n.K : nullptr};
  }
};

template <int N, int NK>
void present_single(const Network& n, const Rule& rule, const lstm1997::Stop& stop, lstm1997::Trial& trial) {
  Single<float, N, NK> network(n);
  network.load(trial.weights);
  const lstm1997::Block& block = trial.block;
  int64_t begin = 0;
  for (int64_t i = 0; i < block.count && !trial.stopped; ++i) {
    trial.errors[i] = network.sequence(rule, block.lengths[i], Reader{block, n, trial.outputs, i, begin});
    begin += block.lengths[i];
    judge(stop, trial, i);
  }
  if (rule.learn) network.save(trial.weights);
}

}  // namespace carrousel::CARROUSEL_TARGET
