// Many trials of one network, one in each lane of a vector, their n-th sequences side by side. For networks of C blocks of S cells with
// output gates, without conventional units, connectivity F, and targets at the sequences' ends. The arithmetic is Alone's, sum by sum.
//
// One-hot inputs of a large alphabet would cost a vector operation a symbol: then each lane keeps the columns of its own inputs apart,
// and reads and changes the one that is on.
#pragma once
#include <algorithm>
#include <limits>

#include "activations.hpp"
#include "array.hpp"
#include "fold.hpp"
#include "judge.hpp"
#include "step.hpp"

namespace carrousel::CARROUSEL_TARGET {

using lstm1997::Block;
using lstm1997::Trial;

template <int W, int C, int S>
class Lanes {
  using V = vec<float, W>;
  using Mask = bits_of<V>;
  static constexpr int CS = C * S, U = CS + 2 * C, D = 2 * CS;
  static constexpr int steps_staged = 32;

 public:
  Lanes(const Network& network, const Rule& rule, const lstm1997::Stop& stop)
      : n(network), rule(rule), stop(stop), I(n.I), K(n.K), alpha(float(rule.rate)) {}

  // Up to W trials, all with dense inputs or all with symbols.
  void run(Trial* const* trials, int count) {
    trial = trials, taken = count;
    symbolic = trials[0]->block.symbols != nullptr;
    sparse = symbolic && I > small_alphabet;
    allocate();
    for (int lane = 0; lane < count; ++lane) load(lane);
    int64_t most = 0;
    for (int lane = 0; lane < count; ++lane) most = std::max(most, trial[lane]->block.count);
    std::fill(begin, begin + W, int64_t(0));
    for (int64_t i = 0; i < most; ++i)
      if (!sequence(i)) break;
    for (int lane = 0; lane < count; ++lane)
      if (rule.learn) save(lane);
  }

 private:
  void allocate() {
    const int columns = sparse ? 0 : I;
    w_in.reset(int64_t(columns) * U), d_in.reset(int64_t(columns) * D);
    w_symbol.reset(sparse ? int64_t(W) * I * U : 0), d_symbol.reset(sparse ? int64_t(W) * I * D : 0);
    w_out.reset(int64_t(K) * (CS + 1)), target.reset(K), said.reset(K), e_k.reset(K);
    z_x.reset(columns), staged.reset(symbolic ? 0 : int64_t(steps_staged) * I);
  }

  template <class Visit>  // visit(index among the flat weights, the weight in its lane)
  void each_weight(int lane, Visit visit) {
    int64_t at = 0;
    for (int u = 0; u < U; ++u) {
      for (int m = 0; m < I; ++m, ++at)
        visit(at, sparse ? w_symbol[(size_t(lane) * I + m) * U + u] : lane_of(w_in[size_t(m) * U + u], lane));
      for (int j = 0; j < U; ++j, ++at) visit(at, lane_of(w_rec[j][u], lane));
    }
    for (int u = 0; u < U; ++u)
      if (n.biased(u)) visit(at++, lane_of(w_bias[u], lane));
    for (int k = 0; k < K; ++k)
      for (int c = 0; c < CS; ++c) visit(at++, lane_of(w_out[k * (CS + 1) + c], lane));
    for (int k = 0; k < K && n.outputs_biased; ++k) visit(at++, lane_of(w_out[k * (CS + 1) + CS], lane));
  }
  static float& lane_of(V& v, int lane) { return reinterpret_cast<float*>(&v)[lane]; }
  void load(int lane) {
    each_weight(lane, [&](int64_t at, float& w) { w = trial[lane]->weights[at]; });
  }
  void save(int lane) {
    each_weight(lane, [&](int64_t at, float& w) { trial[lane]->weights[at] = w; });
  }

  // The i-th sequence of every trial that still has one; false when none has.
  bool sequence(int64_t i) {
    alignas(64) int32_t lengths[W];
    int longest = 0;
    for (int lane = 0; lane < W; ++lane) {
      const bool takes = lane < taken && i < trial[lane]->block.count && !trial[lane]->stopped;
      lengths[lane] = takes ? trial[lane]->block.lengths[i] : 0;
      longest = std::max(longest, int(lengths[lane]));
    }
    if (!longest) return false;
    forget();
    stage_targets(i, lengths);
    std::memcpy(&length, lengths, sizeof length);
    int next_end = soonest(lengths, 0);
    for (int t = 0; t < longest; ++t) {
      if (t % steps_staged == 0) stage_inputs(t, lengths);
      step(t);
      if (t + 1 == next_end) {
        finish(t + 1, i);
        next_end = soonest(lengths, next_end);
      }
    }
    if (rule.learn) apply();
    for (int lane = 0; lane < taken; ++lane)
      if (lengths[lane]) {
        begin[lane] += lengths[lane];
        judge(stop, *trial[lane], i);
      }
    return true;
  }

  static int soonest(const int32_t* lengths, int after) {
    int found = std::numeric_limits<int>::max();
    for (int lane = 0; lane < W; ++lane)
      if (lengths[lane] > after) found = std::min(found, int(lengths[lane]));
    return found;
  }

  void forget() {
    for (V& v : s) v = V{};
    for (V& v : y) v = V{};
    for (auto& column : d_rec)
      for (V& v : column) v = V{};
    for (V& v : d_bias) v = V{};
    d_in.clear(), d_symbol.clear();
    for (V& v : e_s) v = V{};
    for (V& v : e_out) v = V{};
    for (V& v : y_end) v = V{};
    for (V& v : z_y) v = V{};
    z_x.clear(), e_k.clear();
  }

  void stage_targets(int64_t i, const int32_t* lengths) {
    for (int lane = 0; lane < taken; ++lane) {
      if (!lengths[lane]) continue;
      const Block& block = trial[lane]->block;
      for (int k = 0; k < K; ++k) lane_of(target[k], lane) = block.targets ? block.targets[i * K + k] : float(block.classes[i] == k);
    }
  }

  void stage_inputs(int t, const int32_t* lengths) {
    for (int lane = 0; lane < taken; ++lane) {
      const int steps = std::min(int(lengths[lane]) - t, steps_staged);
      const Block& block = trial[lane]->block;
      if (symbolic) {
        const int32_t* from = block.symbols + begin[lane] + t;
        for (int q = 0; q < steps; ++q) symbols[q][lane] = from[q];
      } else {
        const float* from = block.x + (begin[lane] + t) * I;
        float* to = reinterpret_cast<float*>(staged.data()) + lane;
        for (int q = 0; q < steps * I; ++q) to[size_t(q) * W] = from[q];
      }
    }
  }

  V input(int t, int m) const {
    if (!symbolic) return staged[size_t(t % steps_staged) * I + m];
    const Mask on = symbol == m;
    return on ? splat<V>(1) : V{};
  }

  // (6)-(9), then (25) and (27), for a step of every trial; trials that have ended run on, and keep nothing of it.
  CARROUSEL_INLINE void step(int t) {
    const V one = splat<V>(1), two = splat<V>(2), four = splat<V>(4);
    if (symbolic) std::memcpy(&symbol, symbols[t % steps_staged], sizeof symbol);
    const Mask alive = length > t;
    if (sparse) gather();
    rows<0>(t);
    V change[D];
    for (int c = 0; c < CS; ++c) {
      const V f = net[c], in = net[CS + c / S];
      const V g = n.wide_g ? four * f - two : f, f_slope = f * (one - f), in_slope = in * (one - in);
      s[c] = s[c] + in * g;
      change[c] = alive ? in * (n.wide_g ? four * f_slope : f_slope) : V{};
      change[CS + c] = alive ? g * in_slope : V{};
    }
    if (rule.learn) credit(t, change);
    for (int c = 0; c < CS; ++c) {
      h[c] = s[c], dh[c] = one;
      if (n.squash_h) {
        const V q = sigmoid(s[c]);
        h[c] = two * q - one, dh[c] = two * (q * (one - q));
      }
    }
    for (int u = 0; u < U; ++u) y_before[u] = y[u];
    for (int c = 0; c < CS; ++c) y[c] = net[CS + C + c / S] * h[c];
    for (int u = CS; u < U; ++u) y[u] = net[u];
  }

  // The columns of each lane's own symbol.
  void gather() {
    for (int lane = 0; lane < W; ++lane) {
      const int on = reinterpret_cast<const int32_t*>(&symbol)[lane];
      if (on < 0 || lane >= taken) {
        for (int u = 0; u < U; ++u) lane_of(fed[u], lane) = 0;
        continue;
      }
      const float* column = &w_symbol[(size_t(lane) * I + on) * U];
      for (int u = 0; u < U; ++u) lane_of(fed[u], lane) = column[u];
    }
  }

  // The logistic values of the units, four rows at a time: as many sums as registers hold.
  template <int First>
  CARROUSEL_INLINE void rows(int t) {
    constexpr int R = std::min(4, U - First);
    V a[R], even[R] = {}, odd[R] = {};
    for (int r = 0; r < R; ++r) a[r] = w_bias[First + r];
    if (sparse) {
      for (int r = 0; r < R; ++r) a[r] += fed[First + r];
    } else {
      const V* w = w_in.data() + First;
      for (int m = 0; m < I; ++m, w += U) {
        if (symbolic) {
          const Mask on = symbol == m;
          for (int r = 0; r < R; ++r) a[r] = on ? a[r] + w[r] : a[r];
        } else {
          const V x = staged[size_t(t % steps_staged) * I + m];
          for (int r = 0; r < R; ++r) a[r] += w[r] * x;
        }
      }
    }
    for (int j = 0; j < U; j += 2)
      for (int r = 0; r < R; ++r) even[r] += w_rec[j][First + r] * y[j];
    for (int j = 1; j < U; j += 2)
      for (int r = 0; r < R; ++r) odd[r] += w_rec[j][First + r] * y[j];
    for (int r = 0; r < R; ++r) net[First + r] = sigmoid(a[r] + (even[r] + odd[r]));
    if constexpr (First + R < U) rows<First + R>(t);
  }

  CARROUSEL_INLINE void credit(int t, const V* change) {
    if (sparse) {
      for (int lane = 0; lane < taken; ++lane) {
        const int on = reinterpret_cast<const int32_t*>(&symbol)[lane];
        if (on < 0) continue;
        float* d = &d_symbol[(size_t(lane) * I + on) * D];
        for (int k = 0; k < D; ++k) d[k] += change[k][lane];
      }
    } else {
      V* d = d_in.data();
      for (int m = 0; m < I; ++m, d += D) {
        if (symbolic) {
          const Mask on = symbol == m;
          for (int k = 0; k < D; ++k) d[k] = on ? d[k] + change[k] : d[k];
        } else {
          const V x = staged[size_t(t % steps_staged) * I + m];
          for (int k = 0; k < D; ++k) d[k] += change[k] * x;
        }
      }
    }
    for (int j = 0; j < U; ++j)
      for (int k = 0; k < D; ++k) d_rec[j][k] += change[k] * y[j];
    for (int k = 0; k < D; ++k) d_bias[k] += change[k];
  }

  // The trials whose sequence has `steps` steps are told their targets: errors, and (19)-(23), which wait for the others to end.
  void finish(int steps, int64_t i) {
    const V one = splat<V>(1);
    const Mask ends = length == steps;
    V largest{}, absolute[partials], squared[partials], partial[CS][partials];  // sums over k, in folded's order; partial: of w_kc e_k
    for (int k = 0; k < partials && k < 2 * K; ++k) {
      absolute[k] = squared[k] = V{};
      for (int c = 0; c < CS; ++c) partial[c][k] = V{};
    }
    for (int k = 0; k < K; ++k) {
      const int p = k % partials;
      const V* w = &w_out[k * (CS + 1)];
      V a = w[CS];
      for (int c = 0; c < CS; ++c) a += w[c] * y[c];
      said[k] = n.logistic_output ? sigmoid(a) : a;
      const V e = target[k] - said[k], size = e < V{} ? -e : e;
      largest = size > largest ? size : largest;
      absolute[p] += size, squared[p] += e * e;
      const V signal = rule.entropy || !n.logistic_output ? e : said[k] * (one - said[k]) * e;
      e_k[k] = ends ? signal : e_k[k];
      for (int c = 0; c < CS; ++c) partial[c][p] += w[c] * signal;
    }
    V error[CS];
    for (int c = 0; c < CS; ++c) error[c] = folded(partial[c], K);
    const V sum = folded(absolute, K), absolute_mean = sum / splat<V>(float(K)), squared_mean = folded(squared, K) / splat<V>(float(K));
    largest = sum == sum ? largest : sum;
    for (int lane = 0; lane < taken; ++lane)
      if (ends[lane]) {
        trial[lane]->errors[i] = {largest[lane], largest[lane], absolute_mean[lane], squared_mean[lane]};
        for (int k = 0; k < K && trial[lane]->outputs; ++k) trial[lane]->outputs[i * K + k] = said[k][lane];
      }
    if (rule.learn) hold(ends, steps - 1, error);
  }

  void hold(Mask ends, int t, const V* error) {
    const V one = splat<V>(1);
    for (int c = 0; c < CS; ++c) {
      const V out = net[CS + C + c / S];
      e_s[c] = ends ? (out * dh[c]) * error[c] : e_s[c];  // (23)
      y_end[c] = ends ? y[c] : y_end[c];
    }
    for (int j = 0; j < C; ++j) {  // (21)
      V sum = {};
      for (int v = 0; v < S; ++v) sum += h[j * S + v] * error[j * S + v];
      const V f = net[CS + C + j];
      e_out[j] = ends ? f * (one - f) * sum : e_out[j];
    }
    for (int u = 0; u < U; ++u) z_y[u] = ends ? y_before[u] : z_y[u];
    if (sparse)
      last_symbol = ends ? symbol : last_symbol;
    else
      for (int64_t m = 0; m < z_x.size(); ++m) z_x[m] = ends ? input(t, int(m)) : z_x[m];
  }

  // (22), (26), (28), for every trial at once.
  void apply() {
    const V rate = splat<V>(alpha);
    const auto column = [&](V* w, const V* d, V z, bool cells_learn, bool gates_learn) {
      for (int c = 0; c < CS && cells_learn; ++c) w[c] += rate * (e_s[c] * d[c]);
      if (!gates_learn) return;
      for (int j = 0; j < C; ++j) {
        V sum = e_s[j * S] * d[CS + j * S];
        for (int v = 1; v < S; ++v) sum += e_s[j * S + v] * d[CS + j * S + v];
        w[CS + j] += rate * sum;
        w[CS + C + j] += rate * (e_out[j] * z);
      }
    };
    if (sparse)
      for (int lane = 0; lane < taken; ++lane) apply_symbols(lane);
    for (int64_t m = 0; m < z_x.size(); ++m) column(&w_in[m * U], &d_in[m * D], z_x[m], true, true);
    for (int j = 0; j < U; ++j) column(w_rec[j], d_rec[j], z_y[j], n.recurrent_cells, true);
    column(w_bias, d_bias, splat<V>(1), n.cells_biased, n.gates_biased);
    for (int k = 0; k < K; ++k) {
      for (int c = 0; c < CS; ++c) w_out[k * (CS + 1) + c] += rate * (e_k[k] * y_end[c]);
      if (n.outputs_biased) w_out[k * (CS + 1) + CS] += rate * e_k[k];
    }
  }

  void apply_symbols(int lane) {
    float e[CS];
    for (int c = 0; c < CS; ++c) e[c] = e_s[c][lane];
    float* w = &w_symbol[size_t(lane) * I * U];
    const float* d = &d_symbol[size_t(lane) * I * D];
    for (int m = 0; m < I; ++m, w += U, d += D) {
      for (int c = 0; c < CS; ++c) w[c] += alpha * (e[c] * d[c]);
      for (int j = 0; j < C; ++j) {
        float sum = e[j * S] * d[CS + j * S];
        for (int v = 1; v < S; ++v) sum += e[j * S + v] * d[CS + j * S + v];
        w[CS + j] += alpha * sum;
      }
    }
    const int on = reinterpret_cast<const int32_t*>(&last_symbol)[lane];
    if (on < 0) return;
    w = &w_symbol[(size_t(lane) * I + on) * U + CS + C];
    for (int j = 0; j < C; ++j) w[j] += alpha * e_out[j][lane];
  }

  const Network n;
  const Rule rule;
  const lstm1997::Stop stop;
  const int I, K;
  const float alpha;
  Trial* const* trial = nullptr;
  int taken = 0;
  bool symbolic = false, sparse = false;
  int64_t begin[W] = {};                     // of each trial, the first step of its sequence in its block
  V w_rec[U][U] = {}, w_bias[U] = {}, d_rec[U][D] = {}, d_bias[D] = {};  // columns: what feeds, then whom
  Array<V> w_in, d_in;                 // [I, U], [I, D]
  Array<float> w_symbol, d_symbol;     // [W, I, U], [W, I, D]
  Array<V> w_out;                      // [K, CS + 1], biases last
  V s[CS] = {}, y[U] = {}, y_before[U] = {}, net[U] = {}, h[CS] = {}, dh[CS] = {}, fed[U] = {};
  Array<V> target, said, e_k, z_x;     // of the step with the target: what fed the hidden layer, and the errors
  V e_s[CS] = {}, e_out[C] = {}, y_end[CS] = {}, z_y[U] = {};
  Array<V> staged;                     // [steps_staged, I]
  alignas(64) int32_t symbols[steps_staged][W] = {};
  Mask symbol = {}, last_symbol = {}, length = {};
};

}  // namespace carrousel::CARROUSEL_TARGET
