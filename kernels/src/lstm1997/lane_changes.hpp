// The weight changes of W networks, each in its lane: immediately, by the error signals of one step (22), (26), (28); or collected
// over the steps of a sequence.
#pragma once
#include "lstm1997/lane_errors.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <int W, int C, int S>
struct LaneChanges {
  using V = vec<float, W>;
  using Mask = bits_of<V>;
  using Weights = LaneWeights<W, C, S>;
  using Units = LaneUnits<W, C, S>;
  using Signals = LaneErrors<W, C, S>;
  static constexpr int CS = C * S, U = CS + 2 * C, D = 2 * CS;
  static constexpr int G = D + C;  // cells, input gates for each of them, output gates
  const float alpha;
  const V rate;
  V rec[U][G] = {}, bias[G] = {};
  Array<V> in, out;  // [columns, G], [K, O]

  LaneChanges(const Weights& weights, double rate)
      : alpha(float(rate)), rate(set1<V>(alpha)), in(int64_t(weights.columns) * G), out(int64_t(weights.n.K) * weights.O) {}

  // The trials with a target at this step change their weights now.
  void apply(Weights& weights, Units& units, const Signals& e, Mask has_target, int taken) {
    each_column(weights, units, e, [&](V* w, const V* d, V*, V z, bool cells_learn, bool gates_learn) {
      for (int c = 0; c < CS && cells_learn; ++c) w[c] = has_target ? w[c] + rate * (e.e_s[c] * d[c]) : w[c];
      for (int j = 0; j < C && gates_learn; ++j) {
        V sum = e.e_s[j * S] * d[CS + j * S];
        for (int v = 1; v < S; ++v) sum += e.e_s[j * S + v] * d[CS + j * S + v];
        w[CS + j] = has_target ? w[CS + j] + rate * sum : w[CS + j];
        w[CS + C + j] = has_target ? w[CS + C + j] + rate * (e.e_out[j] * z) : w[CS + C + j];
      }
    });
    each_output(weights, e, [&](V& w, V&, V step) { w = has_target ? w + rate * step : w; });
    for (int lane = 0; lane < taken && weights.sparse; ++lane)
      if (has_target[lane]) apply_symbols(weights, units, e, lane);
  }

  // Or they collect the changes.
  void collect(Weights& weights, Units& units, const Signals& e, Mask has_target) {
    each_column(weights, units, e, [&](V*, const V* d, V* change, V z, bool, bool) {
      for (int c = 0; c < CS; ++c) change[c] = has_target ? change[c] + e.e_s[c] * d[c] : change[c];
      for (int c = 0; c < CS; ++c) change[CS + c] = has_target ? change[CS + c] + e.e_s[c] * d[CS + c] : change[CS + c];
      for (int j = 0; j < C; ++j) change[D + j] = has_target ? change[D + j] + e.e_out[j] * z : change[D + j];
    });
    each_output(weights, e, [&](V&, V& change, V step) { change = has_target ? change + step : change; });
  }

  // And apply what they have collected.
  void apply_collected(Weights& weights, Units& units, const Signals& e) {
    each_column(weights, units, e, [&](V* w, const V*, V* change, V, bool cells_learn, bool gates_learn) {
      for (int c = 0; c < CS && cells_learn; ++c) w[c] += rate * change[c];
      for (int j = 0; j < C && gates_learn; ++j) {
        V sum = change[CS + j * S];
        for (int v = 1; v < S; ++v) sum += change[CS + j * S + v];
        w[CS + j] += rate * sum;
        w[CS + C + j] += rate * change[D + j];
      }
      for (int g = 0; g < G; ++g) change[g] = V{};
    });
    each_output(weights, e, [&](V& w, V& change, V) { w += rate * change, change = V{}; });
  }

 private:
  // Calls visit(the column's weights, its ds/dw, its collected changes, its input, whether cells learn it, whether gates do).
  template <class Visit>
  CARROUSEL_INLINE void each_column(Weights& weights, Units& units, const Signals& e, Visit visit) {
    const Network& n = weights.n;
    for (int64_t m = 0; m < weights.columns; ++m) visit(&weights.in[m * U], &units.d_in[m * D], &in[m * G], e.z_x[m], true, true);
    for (int j = 0; j < U; ++j) visit(weights.rec[j], units.d_rec[j], rec[j], e.z_y[j], n.recurrent_cells, true);
    visit(weights.bias, units.d_bias, bias, set1<V>(1), n.cells_biased, n.gates_biased);
  }

  template <class Visit>  // calls visit(weight, its collected change, its change by this step)
  CARROUSEL_INLINE void each_output(Weights& weights, const Signals& e, Visit visit) {
    for (int k = 0; k < weights.n.K; ++k) {
      V* w = &weights.out[int64_t(k) * weights.O];
      V* change = &out[int64_t(k) * weights.O];
      for (int m = 0; m < weights.first; ++m) visit(w[m], change[m], e.e_k[k] * e.z_x[m]);
      w += weights.first;
      change += weights.first;
      for (int c = 0; c < CS; ++c) visit(w[c], change[c], e.e_k[k] * e.y_at_target[c]);
      if (weights.n.outputs_biased) visit(w[CS], change[CS], e.e_k[k]);
    }
  }

  void apply_symbols(Weights& weights, Units& units, const Signals& signals, int lane) {
    const int I = weights.n.I;
    float e[CS];
    for (int c = 0; c < CS; ++c) e[c] = signals.e_s[c][lane];
    float* w = weights.symbols(lane);
    const float* d = units.symbols(lane, I);
    for (int m = 0; m < I; ++m, w += Weights::stride, d += Units::stride) {
      for (int c = 0; c < CS; ++c) w[c] += alpha * (e[c] * d[c]);
      for (int j = 0; j < C; ++j) {
        float sum = e[j * S] * d[CS + j * S];
        for (int v = 1; v < S; ++v) sum += e[j * S + v] * d[CS + j * S + v];
        w[CS + j] += alpha * sum;
      }
    }
    const int on = reinterpret_cast<const int32_t*>(&signals.symbol)[lane];
    if (on < 0) return;
    w = weights.symbols(lane) + int64_t(on) * Weights::stride + CS + C;
    for (int j = 0; j < C; ++j) w[j] += alpha * signals.e_out[j][lane];
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
