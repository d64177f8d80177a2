// The hidden layers of W networks, each in its lane: their units (6)-(9), and ds/dw (25), (27).
#pragma once
#include "lstm1997/lane_blocks.hpp"
#include "lstm1997/lane_weights.hpp"
#include "machine/activations.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <int W, int C, int S>
struct LaneUnits {
  using V = vec<float, W>;
  using Mask = bits_of<V>;
  using Weights = LaneWeights<W, C, S>;
  using Blocks = LaneBlocks<W>;
  static constexpr int CS = C * S, U = CS + 2 * C, D = 2 * CS, stride = in_fours(D);
  V s[CS] = {}, y[U] = {}, y_before[U] = {}, net[U] = {}, h[CS] = {}, dh[CS] = {}, fed[U] = {};
  V d_rec[U][D] = {}, d_bias[D] = {};  // ds/dw of each cell: its own weights', then its input gate's
  Array<V> d_in;                       // [columns, D]
  Array<float> d_symbol;               // [W, I, stride] where sparse
  float nobody[stride] = {};           // the column of trials without an input

  explicit LaneUnits(const Weights& weights)
      : d_in(int64_t(weights.columns) * D), d_symbol(weights.sparse ? int64_t(W) * weights.n.I * stride : 0) {}

  void forget() {
    for (V& v : s) v = V{};
    for (V& v : y) v = V{};
    for (auto& column : d_rec)
      for (V& v : column) v = V{};
    for (V& v : d_bias) v = V{};
    d_in.clear();
    d_symbol.clear();
  }
  float* symbols(int lane, int I) { return &d_symbol[int64_t(lane) * I * stride]; }

  // One step of every trial. Trials that have ended compute on, and their derivatives do not change.
  CARROUSEL_INLINE void step(Weights& weights, const Blocks& blocks, int t, bool learn) {
    const Network& n = weights.n;
    const V one = set1<V>(1), two = set1<V>(2), four = set1<V>(4);
    const Mask alive = blocks.length > t;
    if (weights.sparse) gather(weights, blocks);
    rows<0>(weights, blocks, t);
    V entering[D];
    for (int c = 0; c < CS; ++c) {
      const V f = net[c], in = net[CS + c / S];
      const V g = n.wide_g ? four * f - two : f, f_slope = f * (one - f), in_slope = in * (one - in);
      s[c] = s[c] + in * g;
      entering[c] = alive ? in * (n.wide_g ? four * f_slope : f_slope) : V{};
      entering[CS + c] = alive ? g * in_slope : V{};
    }
    if (learn) credit(weights, blocks, t, entering);
    for (int c = 0; c < CS; ++c) {
      h[c] = s[c];
      dh[c] = one;
      if (n.squash_h) {
        const V q = sigmoid(s[c]);
        h[c] = two * q - one;
        dh[c] = two * (q * (one - q));
      }
    }
    for (int u = 0; u < U; ++u) y_before[u] = y[u];
    for (int c = 0; c < CS; ++c) y[c] = net[CS + C + c / S] * h[c];
    for (int u = CS; u < U; ++u) y[u] = net[u];
  }

 private:
  // Loads the column of each lane's symbol.
  CARROUSEL_INLINE void gather(Weights& weights, const Blocks& blocks) {
    static constexpr float zeros[Weights::stride] = {};
    const float* columns[W];
    for (int lane = 0; lane < W; ++lane) {
      const int on = lane < blocks.taken ? blocks.symbol_of(lane) : -1;
      columns[lane] = on < 0 ? zeros : weights.symbols(lane) + int64_t(on) * Weights::stride;
    }
    side_by_side(fed, columns);
  }

  // The logistic values of the units, four rows at a time: as many sums as there are registers.
  template <int First>
  CARROUSEL_INLINE void rows(const Weights& weights, const Blocks& blocks, int t) {
    constexpr int R = std::min(4, U - First);
    V a[R], even[R] = {}, odd[R] = {};
    for (int r = 0; r < R; ++r) a[r] = weights.bias[First + r];
    if (weights.sparse)
      for (int r = 0; r < R; ++r) a[r] += fed[First + r];
    const V* w = weights.in.data() + First;
    for (int m = 0; m < weights.columns; ++m, w += U) {
      if (blocks.symbolic) {
        const Mask on = blocks.symbol == m;
        for (int r = 0; r < R; ++r) a[r] = on ? a[r] + w[r] : a[r];
      } else {
        const V x = blocks.x(t, m);
        for (int r = 0; r < R; ++r) a[r] += w[r] * x;
      }
    }
    for (int j = 0; j < U; j += 2)
      for (int r = 0; r < R; ++r) even[r] += weights.rec[j][First + r] * y[j];
    for (int j = 1; j < U; j += 2)
      for (int r = 0; r < R; ++r) odd[r] += weights.rec[j][First + r] * y[j];
    for (int r = 0; r < R; ++r) net[First + r] = sigmoid(a[r] + (even[r] + odd[r]));
    if constexpr (First + R < U) rows<First + R>(weights, blocks, t);
  }

  CARROUSEL_INLINE void credit(const Weights& weights, const Blocks& blocks, int t, const V (&entering)[D]) {
    if (weights.sparse) {
      float* columns[W];
      for (int lane = 0; lane < W; ++lane) {
        const int on = lane < blocks.taken ? blocks.symbol_of(lane) : -1;
        columns[lane] = on < 0 ? nobody : symbols(lane, weights.n.I) + int64_t(on) * stride;
      }
      add_one_each(columns, entering);
    }
    V* d = d_in.data();
    for (int m = 0; m < weights.columns; ++m, d += D) {
      if (blocks.symbolic) {
        const Mask on = blocks.symbol == m;
        for (int k = 0; k < D; ++k) d[k] = on ? d[k] + entering[k] : d[k];
      } else {
        const V x = blocks.x(t, m);
        for (int k = 0; k < D; ++k) d[k] += entering[k] * x;
      }
    }
    for (int j = 0; j < U; ++j)
      for (int k = 0; k < D; ++k) d_rec[j][k] += entering[k] * y[j];
    for (int k = 0; k < D; ++k) d_bias[k] += entering[k];
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
