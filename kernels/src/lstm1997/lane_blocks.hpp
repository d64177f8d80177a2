// The blocks of up to W trials, step by step and side by side: the n-th sequence of each, in its lane.
#pragma once
#include "lstm1997/array.hpp"
#include "lstm1997/step.hpp"

namespace carrousel::CARROUSEL_TARGET {

using lstm1997::Block;
using lstm1997::Trial;

template <int W>
class LaneBlocks {
 public:
  using V = vec<float, W>;
  using Mask = bits_of<V>;

  // The blocks of all trials hold numbers, or all hold symbols; all have targets at the ends, or all at every step.
  LaneBlocks(const Network& network, Trial* const* trials, int count)
      : trial(trials),
        taken(count),
        symbolic(trials[0]->block.symbols),
        at_end(trials[0]->block.at_end),
        I(network.I),
        K(network.K),
        x_staged(symbolic ? 0 : int64_t(staged) * I),
        target_staged(K) {
    for (int lane = 0; lane < taken; ++lane) indexed = indexed && trial[lane]->block.classes;
    if (!at_end && !indexed) target_staged.reset(int64_t(staged) * K);
  }

  Trial* const* const trial;
  const int taken;
  const bool symbolic, at_end;
  Mask length = {}, symbol = {};  // of the sequences; of this step

  // Begins the i-th sequence of every trial that still has one; returns the length of the longest, 0 if there is none.
  int open(int64_t i) {
    sequence = i;
    int longest = 0;
    for (int lane = 0; lane < taken; ++lane) {
      const bool takes = i < trial[lane]->block.count && !trial[lane]->stopped;
      lengths[lane] = takes ? trial[lane]->block.lengths[i] : 0;
      longest = std::max(longest, int(lengths[lane]));
      if (takes && at_end) final_target(lane);
    }
    std::memcpy(&length, lengths, sizeof length);
    return longest;
  }
  // Ends it; calls visit(lane) for the trials that had one.
  template <class Visit>
  void close(Visit visit) {
    for (int lane = 0; lane < taken; ++lane) {
      begin[lane] += lengths[lane];
      if (lengths[lane]) visit(lane);
    }
  }

  CARROUSEL_INLINE void load_step(int t) {
    if (t % staged == 0) stage(t);
    if (symbolic) std::memcpy(&symbol, symbols[t % staged], sizeof symbol);
  }
  CARROUSEL_INLINE V x(int t, int m) const { return x_staged[int64_t(t % staged) * I + m]; }
  CARROUSEL_INLINE V input(int t, int m) const {
    if (!symbolic) return x(t, m);
    const Mask on = symbol == m;
    return on ? set1<V>(1) : V{};
  }
  CARROUSEL_INLINE int symbol_of(int lane) const { return reinterpret_cast<const int32_t*>(&symbol)[lane]; }

  // Whether any trial has a target at step t, and which have.
  CARROUSEL_INLINE bool any_target(int t) const { return any[t % staged]; }
  CARROUSEL_INLINE Mask has_target(int t) const { return at_end ? Mask(length == t + 1) : Mask(classes_at(t) >= 0); }
  CARROUSEL_INLINE V target(int t, int k) const {
    if (at_end) return target_staged[k];
    if (!indexed) return target_staged[int64_t(t % staged) * K + k];
    const Mask wanted = classes_at(t) == k;
    return wanted ? set1<V>(1) : V{};
  }
  // A lane's errors, and its outputs at step t, or null.
  Errors& errors(int lane) const { return trial[lane]->errors[sequence]; }
  float* outputs(int lane, int t) const {
    float* const to = trial[lane]->outputs;
    return to ? to + (at_end ? sequence : begin[lane] + t) * K : nullptr;
  }

 private:
  static constexpr int staged = 32;  // steps

  CARROUSEL_INLINE Mask classes_at(int t) const {
    Mask found;
    std::memcpy(&found, classes[t % staged], sizeof found);
    return found;
  }

  void stage(int t) {
    std::fill_n(any, staged, false);
    for (int lane = 0; lane < taken; ++lane) {
      const int left = lengths[lane] - t, steps = std::clamp(left, 0, staged);
      if (at_end && left > 0 && left <= staged) any[left - 1] = true;
      if (!at_end) stage_targets(lane, begin[lane] + t, steps);
      stage_inputs(lane, begin[lane] + t, steps);
    }
  }

  void stage_inputs(int lane, int64_t row, int steps) {
    const Block& block = trial[lane]->block;
    if (symbolic) {
      const int32_t* from = block.symbols + row;
      for (int q = 0; q < steps; ++q) symbols[q][lane] = from[q];
    } else {
      const float* from = block.x + row * I;
      float* to = reinterpret_cast<float*>(x_staged.data()) + lane;
      for (int q = 0; q < steps * I; ++q) to[int64_t(q) * W] = from[q];
    }
  }

  void stage_targets(int lane, int64_t row, int steps) {
    const Block& block = trial[lane]->block;
    for (int q = 0; q < staged; ++q) {
      int32_t& given = classes[q][lane];
      given = -1;
      if (q >= steps) continue;
      const float* target = block.targets ? block.targets + (row + q) * K : nullptr;
      given = target ? -(*target != *target) : block.classes[row + q];
      any[q] = any[q] || given >= 0;
      for (int k = 0; k < K && !indexed; ++k) lane_of(target_staged[int64_t(q) * K + k], lane) = target ? target[k] : float(given == k);
    }
  }

  void final_target(int lane) {
    const Block& block = trial[lane]->block;
    for (int k = 0; k < K; ++k)
      lane_of(target_staged[k], lane) = block.targets ? block.targets[sequence * K + k] : float(block.classes[sequence] == k);
  }
  static float& lane_of(V& v, int lane) { return reinterpret_cast<float*>(&v)[lane]; }

  const int I, K;
  bool indexed = true;    // all targets come as classes
  int64_t sequence = 0;
  int64_t begin[W] = {};  // of each trial, the first step of its sequence in its block
  alignas(64) int32_t lengths[W] = {};
  alignas(64) int32_t symbols[staged][W] = {};
  alignas(64) int32_t classes[staged][W];  // not at_end: the index of the target output, -1: none; 0 if targets are numbers
  bool any[staged] = {};
  Array<V> x_staged, target_staged;        // [staged, I]; [staged, K], or [K] at_end
};

}  // namespace carrousel::CARROUSEL_TARGET
