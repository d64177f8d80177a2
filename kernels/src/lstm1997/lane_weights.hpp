// The weights of W networks, each in its lane. Columns first by their input, then by their unit.
//
// One-hot inputs of a large alphabet would cost a vector operation per symbol: then each lane has its own columns of inputs, and
// reads and changes only the one that is on ("sparse").
#pragma once
#include "lstm1997/array.hpp"
#include "lstm1997/lane_columns.hpp"
#include "lstm1997/step.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <int W, int C, int S>
struct LaneWeights {
  using V = vec<float, W>;
  static constexpr int CS = C * S, U = CS + 2 * C, stride = in_fours(U);
  const Network n;
  const bool sparse;
  const int columns;    // inputs whose columns all lanes share
  const int first, O;   // columns of the output layer: the first of a cell; all, the bias last
  V rec[U][U] = {}, bias[U] = {};
  Array<V> in, out;     // [columns, U]; [K, O]: inputs (shortcuts), cells, bias
  Array<float> symbol;  // [W, I, stride], or nothing

  LaneWeights(const Network& network, bool sparse)
      : n(network), sparse(sparse), columns(sparse ? 0 : n.I), first(n.shortcuts ? n.I : 0), O(first + CS + 1) {
    in.reset(int64_t(columns) * U);
    out.reset(int64_t(n.K) * O);
    symbol.reset(sparse ? int64_t(W) * n.I * stride : 0);
  }

  void load(int lane, const float* from) {
    each(lane, [&](int64_t at, float& w) { w = from[at]; });
  }
  void save(int lane, float* to) {
    each(lane, [&](int64_t at, float& w) { to[at] = w; });
  }
  float* symbols(int lane) { return &symbol[int64_t(lane) * n.I * stride]; }

 private:
  template <class Visit>  // calls visit(index in the flat weights, the weight in its lane)
  void each(int lane, Visit visit) {
    int64_t at = 0;
    for (int u = 0; u < U; ++u) {
      for (int m = 0; m < n.I; ++m, ++at)
        visit(at, sparse ? symbols(lane)[int64_t(m) * stride + u] : lane_of(in[int64_t(m) * U + u], lane));
      for (int j = 0; j < U; ++j, ++at) visit(at, lane_of(rec[j][u], lane));
    }
    for (int u = 0; u < U; ++u)
      if (n.biased(u)) visit(at++, lane_of(bias[u], lane));
    for (int k = 0; k < n.K; ++k)
      for (int m = 0; m < O - 1; ++m) visit(at++, lane_of(out[int64_t(k) * O + m], lane));
    for (int k = 0; k < n.K && n.outputs_biased; ++k) visit(at++, lane_of(out[int64_t(k) * O + O - 1], lane));
  }
  static float& lane_of(V& v, int lane) { return reinterpret_cast<float*>(&v)[lane]; }
};

}  // namespace carrousel::CARROUSEL_TARGET
