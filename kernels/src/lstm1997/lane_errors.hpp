// The output layers of W networks, each in its lane: their outputs, their errors, and the error signals (19), (21), (23).
#pragma once
#include "lstm1997/lane_units.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <int W, int C, int S>
struct LaneErrors {
  using V = vec<float, W>;
  using Mask = bits_of<V>;
  using Weights = LaneWeights<W, C, S>;
  using Units = LaneUnits<W, C, S>;
  using Blocks = LaneBlocks<W>;
  static constexpr int CS = C * S, U = CS + 2 * C;
  Array<V> y_out, e_k, z_x;                        // [K], [K]; the inputs at the latest step with a target [columns]
  V e_s[CS] = {}, e_out[C] = {};
  V y_at_target[CS] = {}, z_y[U] = {};                 // at that step: the inputs of the output layer, and those of the hidden layer
  Mask symbol = {};                               // where sparse, which input was on
  V absolute[partials] = {}, squared[partials] = {}, largest = {}, last = {}, count = {};  // of the sequence so far

  explicit LaneErrors(const Weights& weights) : y_out(weights.n.K), e_k(weights.n.K), z_x(weights.columns) {}

  void forget() {
    for (int k = 0; k < partials; ++k) absolute[k] = squared[k] = V{};
    largest = last = count = V{};
  }

  // For the trials with a target at step t: counts their errors and, if they learn, computes their error signals.
  CARROUSEL_INLINE void compute(const Weights& weights, const Units& units, const Blocks& blocks, int t, const Rule& rule) {
    const Network& n = weights.n;
    const Mask has_target = blocks.has_target(t);
    const bool plain = rule.entropy || !n.logistic_output;
    V greatest{}, partial[CS][partials];  // partial: sums of w_kc e_k, in the order of folded()
    for (int k = 0; k < partials && k < 2 * n.K; ++k)
      for (int c = 0; c < CS; ++c) partial[c][k] = V{};
    for (int k = 0; k < n.K; ++k) {
      const int p = k % partials;
      const V* w = &weights.out[int64_t(k) * weights.O] + weights.first;
      y_out[k] = respond(weights, units, blocks, t, k);
      const V e = blocks.target(t, k) - y_out[k], size = e < V{} ? -e : e;
      greatest = size > greatest ? size : greatest;
      absolute[p] = has_target ? absolute[p] + size : absolute[p];
      squared[p] = has_target ? squared[p] + e * e : squared[p];
      const V signal = plain ? e : y_out[k] * (set1<V>(1) - y_out[k]) * e;
      e_k[k] = has_target ? signal : e_k[k];
      for (int c = 0; c < CS && rule.learn; ++c) partial[c][p] += w[c] * signal;
    }
    last = has_target ? greatest : last;
    largest = has_target && greatest > largest ? greatest : largest;
    count = has_target ? count + set1<V>(float(n.K)) : count;
    put_outputs(blocks, t, has_target);
    if (!rule.learn) return;
    V arriving[CS];
    for (int c = 0; c < CS; ++c) arriving[c] = folded(partial[c], n.K);
    hold(units, blocks, t, has_target, arriving);
  }

  // After the sequences: writes their errors.
  void report(const Blocks& blocks, int K) {
    const V sum = folded(absolute, K), mean = sum / count, squared_mean = folded(squared, K) / count;
    for (int lane = 0; lane < blocks.taken; ++lane) {
      if (!blocks.length[lane]) continue;
      const bool is_number = sum[lane] == sum[lane];  // NaN must not pass for a small error
      blocks.errors(lane) = count[lane] == 0 ? Errors{}
                                             : Errors{is_number ? largest[lane] : sum[lane], is_number ? last[lane] : sum[lane], mean[lane],
                                                      squared_mean[lane]};
    }
  }

 private:
  CARROUSEL_INLINE V respond(const Weights& weights, const Units& units, const Blocks& blocks, int t, int k) const {
    const V* w = &weights.out[int64_t(k) * weights.O];
    V a = w[weights.O - 1];
    for (int m = 0; m < weights.first; ++m) {
      if (blocks.symbolic) {
        const Mask on = blocks.symbol == m;
        a = on ? a + w[m] : a;
      } else {
        a += w[m] * blocks.x(t, m);
      }
    }
    for (int c = 0; c < CS; ++c) a += w[weights.first + c] * units.y[c];
    return weights.n.logistic_output ? sigmoid(a) : a;
  }

  CARROUSEL_INLINE void hold(const Units& units, const Blocks& blocks, int t, Mask has_target, const V* arriving) {
    for (int c = 0; c < CS; ++c) {
      const V out = units.net[CS + C + c / S];
      e_s[c] = has_target ? (out * units.dh[c]) * arriving[c] : e_s[c];  // (23)
      y_at_target[c] = has_target ? units.y[c] : y_at_target[c];
    }
    for (int j = 0; j < C; ++j) {  // (21)
      V sum = {};
      for (int v = 0; v < S; ++v) sum += units.h[j * S + v] * arriving[j * S + v];
      const V f = units.net[CS + C + j];
      e_out[j] = has_target ? f * (set1<V>(1) - f) * sum : e_out[j];
    }
    for (int u = 0; u < U; ++u) z_y[u] = has_target ? units.y_before[u] : z_y[u];
    for (int64_t m = 0; m < z_x.size(); ++m) z_x[m] = has_target ? blocks.input(t, int(m)) : z_x[m];
    symbol = has_target ? blocks.symbol : symbol;
  }

  void put_outputs(const Blocks& blocks, int t, Mask has_target) const {
    for (int lane = 0; lane < blocks.taken; ++lane) {
      float* const to = has_target[lane] ? blocks.outputs(lane, t) : nullptr;
      for (int64_t k = 0; k < y_out.size() && to; ++k) to[k] = y_out[k][lane];
    }
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
