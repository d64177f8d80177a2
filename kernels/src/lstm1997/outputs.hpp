// The output layer of one network: its outputs, their error signals (19), and the changes of its weights (22). Output units are
// side by side in vectors, so that each cell costs a column of them, and so does one symbol that is on among a hundred.
#pragma once
#include "lstm1997/hidden.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class F, int N>
struct Outputs {
  using V = vec<F, N>;
  using Lane = bits_of<V>;
  const Network n;
  const int KP, M;           // K padded
  const int first;           // the first cell among the M inputs; the inputs of the network precede it (connectivity B, FB)
  Array<F> weights, change;  // [M + 1, KP], biases last
  Array<F> y, e;             // [KP]

  explicit Outputs(const Network& network) : n(network), KP(padded<N>(n.K)), M(n.M()), first(n.shortcuts ? n.I : 0) {
    weights.reset((M + 1) * KP);
    change.reset((M + 1) * KP);
    y.reset(KP);
    e.reset(KP);
  }

  void load(const F* from) {
    const F* bias = from + int64_t(n.K) * M;
    for (int k = 0; k < n.K; ++k)
      for (int m = 0; m <= M; ++m) weights[m * KP + k] = m < M ? from[int64_t(k) * M + m] : n.outputs_biased ? bias[k] : F(0);
  }
  void save(F* to) const {
    F* bias = to + int64_t(n.K) * M;
    for (int k = 0; k < n.K; ++k) {
      for (int m = 0; m < M; ++m) to[int64_t(k) * M + m] = weights[m * KP + k];
      if (n.outputs_biased) bias[k] = weights[M * KP + k];
    }
  }

  // y, from the hidden layer's outputs at this step.
  CARROUSEL_INLINE void respond(const Input<F>& input, const F* hidden, int units) {
    for (int k = 0; k < KP; k += N) {
      V a = at(weights, M * KP + k);
      each_source(input, hidden, units, [&](int m, F z) { a += at(weights, m * KP + k) * set1<V>(z); });
      store<V>(&y[k], n.logistic_output ? sigmoid(a) : a);
    }
  }

  // (19), and adds the errors to the tally.
  CARROUSEL_INLINE void compute_errors(const TargetOutput<F>& wanted, bool entropy, Tally<F, N>& tally) {
    constexpr int parts = partials / N;
    V absolute[parts], squared[parts], largest = {};
    std::memcpy(absolute, tally.absolute, sizeof absolute);
    std::memcpy(squared, tally.squared, sizeof squared);
    const bool plain = entropy || !n.logistic_output;
    for (int k = 0; k < KP; k += partials)
      for (int j = 0; j < parts; ++j) {
        const int place = k + j * N;
        if (place >= KP) break;
        const V given = at(y, place), error = inside(place) ? target(wanted, place) - given : V{};
        const V size = error < V{} ? -error : error;
        largest = size > largest ? size : largest;
        absolute[j] += size;
        squared[j] += error * error;
        store<V>(&e[place], plain ? error : given * (set1<V>(1) - given) * error);
      }
    std::memcpy(tally.absolute, absolute, sizeof absolute);
    std::memcpy(tally.squared, squared, sizeof squared);
    const V ever = carrousel::CARROUSEL_TARGET::load<V>(tally.largest);
    store<V>(tally.largest, largest > ever ? largest : ever);
    store<V>(tally.last, largest);
    ++tally.rows;
  }

  // The sum over k of w_km e_k, for the m-th of the cells and conventional units.
  CARROUSEL_INLINE F arriving(int m) const {
    const F* w = &weights[(first + m) * KP];
    return sum_over_outputs<F, N>(KP, [&](int k) { return carrousel::CARROUSEL_TARGET::load<V>(w + k) * at(e, k); });
  }

  // (22): adds this step's part of each weight's change.
  CARROUSEL_INLINE void collect(const Input<F>& input, const F* hidden, int units) {
    const auto add = [&](int m, F z) {
      F* d = &change[m * KP];
      for (int k = 0; k < KP; k += N) store<V>(d + k, carrousel::CARROUSEL_TARGET::load<V>(d + k) + at(e, k) * set1<V>(z));
    };
    each_source(input, hidden, units, add);
    if (n.outputs_biased) add(M, F(1));
  }

  // Changes the weights of the m-th input of this layer by what was collected.
  CARROUSEL_INLINE void apply(int m, F rate) {
    for (int k = m * KP; k < (m + 1) * KP; k += N) {
      store<V>(&weights[k], at(weights, k) + set1<V>(rate) * at(change, k));
      store<V>(&change[k], V{});
    }
  }

 private:
  static CARROUSEL_INLINE V at(const Array<F>& from, int place) { return carrousel::CARROUSEL_TARGET::load<V>(from.data() + place); }

  template <class Visit>  // calls visit(m, the value of input m)
  CARROUSEL_INLINE void each_source(const Input<F>& input, const F* hidden, int units, Visit visit) const {
    if (n.shortcuts) input.each(n.I, visit);
    const int cells = n.cells();
    for (int c = 0; c < cells; ++c) visit(first + c, hidden[c]);
    for (int i = 0; i < n.H; ++i) visit(first + cells + i, hidden[units - n.H + i]);
  }

  static CARROUSEL_INLINE Lane counted(int from) {
    Lane lane{};
    for (int i = 0; i < N; ++i) lane[i] = from + i;
    return lane;
  }
  CARROUSEL_INLINE Lane inside(int place) const { return counted(place) < n.K; }
  CARROUSEL_INLINE V target(const TargetOutput<F>& wanted, int place) const {
    if (wanted.row) return load_n<V>(wanted.row + place, n.K - place);
    return counted(place) == wanted.index ? set1<V>(1) : V{};
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
