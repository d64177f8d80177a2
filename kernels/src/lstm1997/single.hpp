// One network: its layers, the way of its errors back through them (20), (21), (23), and its memory between calls.
#pragma once
#include "lstm1997/credit.hpp"
#include "lstm1997/outputs.hpp"

namespace carrousel::CARROUSEL_TARGET {

// N hidden units and NK output units side by side.
template <class F, int N, int NK>
class Single final : public lstm1997::Online<F> {
 public:
  explicit Single(const Network& network) : n(network), hidden(n), outputs(n), credit(hidden), back(n.cells()), s_before(hidden.P) {}

  void load(const F* from) override { outputs.load(hidden.load(from)); }
  void save(F* to) const override { outputs.save(hidden.save(to)); }

  void reset() override {
    if (waiting) apply();
    forget();
  }

  void learn(const Rule& rule, const F* x, int32_t symbol, const F* target, F* y_to) override {
    const Input<F> input{x, symbol};
    advance(rule, input);
    outputs.respond(input, hidden.y.data(), hidden.U);
    std::copy_n(outputs.y.data(), n.K, y_to);
    Tally<F, NK> unread;
    if (target && rule.learn) {
      outputs.compute_errors({target}, rule.entropy, unread);
      correct(rule, input);
    }
  }

  void predict(const F* x, int32_t symbol, F* y_to) override {
    const Input<F> input{x, symbol};
    hidden.s.swap(s_before);
    std::copy_n(s_before.data(), hidden.P, hidden.s.data());
    hidden.forward(input);
    outputs.respond(input, hidden.y.data(), hidden.U);
    std::copy_n(outputs.y.data(), n.K, y_to);
    hidden.y.swap(hidden.y_before);
    hidden.s.swap(s_before);
  }

  int64_t memory_size() const override {
    int64_t size = 2;
    each_memory(*this, [&](const Array<F>& part) { size += part.size(); });
    return size;
  }
  void read_memory(F* to) const override {
    *to++ = waiting;
    *to++ = rate;
    each_memory(*this, [&](const Array<F>& part) { to = std::copy_n(part.data(), part.size(), to); });
  }
  void write_memory(const F* from) override {
    waiting = *from++ != 0;
    rate = *from++;
    each_memory(*this, [&](Array<F>& part) { std::copy_n(from, part.size(), part.data()), from += part.size(); });
    credit.seen.add_all();
  }
  void state(F* s_to, F* y_to) const override {
    std::copy_n(hidden.s.data(), hidden.cells, s_to);
    std::copy_n(hidden.y.data(), hidden.U, y_to);
  }

  // One sequence: at(t) returns a step's input, its target, and where to write the output, or null.
  template <class At>
  Errors sequence(const Rule& rule, int T, At at) {
    forget();
    Tally<F, NK> tally;
    for (int t = 0; t < T; ++t) {
      const auto [input, wanted, y_to] = at(t);
      advance(rule, input);
      if (!wanted) continue;
      outputs.respond(input, hidden.y.data(), hidden.U);
      outputs.compute_errors(wanted, rule.entropy, tally);
      if (y_to) std::copy_n(outputs.y.data(), n.K, y_to);
      if (rule.learn) correct(rule, input);
    }
    if (waiting) apply();
    return tally.errors(n.K);
  }

 private:
  template <class Self, class Visit>  // the memory that persists between steps, besides the weights
  static void each_memory(Self& self, Visit visit) {
    visit(self.hidden.s);
    visit(self.hidden.y);
    visit(self.credit.derivatives);
    visit(self.credit.change);
    visit(self.credit.error_sum);
    visit(self.credit.settled);
    visit(self.outputs.change);
  }

  // Activations, states and derivatives to zero; drops pending changes.
  void forget() {
    hidden.forget();
    credit.forget();
  }

  CARROUSEL_INLINE void advance(const Rule& rule, const Input<F>& input) {
    rate = F(rule.rate);
    hidden.forward(input);
    if (rule.learn) credit.accumulate(input, hidden);
  }

  // From the output units' errors to those of the hidden units, and to each weight's change.
  void correct(const Rule& rule, const Input<F>& input) {
    for (int c = 0; c < hidden.cells; ++c) {
      back[c] = outputs.arriving(c);
      credit.e_s[c] = (n.output_gates ? hidden.net[2 * hidden.P + c] * hidden.dh[c] : hidden.dh[c]) * back[c];  // (23)
    }
    for (int i = 0; i < n.H; ++i) {
      const F f = hidden.net[hidden.L - hidden.Q + i];
      credit.e_i[i] = f * (F(1) - f) * outputs.arriving(hidden.cells + i);  // (20)
    }
    for (int j = 0; j < n.C && n.output_gates; ++j) output_gate(j);
    credit.collect(input, hidden);
    outputs.collect(input, hidden.y.data(), hidden.U);
    waiting = true;
    if (rule.each_step) apply();
  }

  void output_gate(int j) {  // (21)
    F sum = 0;
    for (int v = 0; v < n.S; ++v) sum += hidden.h[j * n.S + v] * back[j * n.S + v];
    const F f = hidden.net[2 * hidden.P + j * n.S];
    for (int v = 0; v < n.S; ++v) credit.e_out[j * n.S + v] = f * (F(1) - f) * sum;
  }

  void apply() {
    credit.apply(rate, hidden);
    const int inputs = outputs.first;
    if (credit.many)
      for (int m : credit.seen) m < inputs ? outputs.apply(m, rate) : void();
    for (int m = credit.many ? inputs : 0; m <= outputs.M; ++m) outputs.apply(m, rate);
    waiting = false;
  }

  const Network n;
  Hidden<F, N> hidden;
  Outputs<F, NK> outputs;
  Credit<F, N> credit;
  Array<F> back, s_before;  // the error that arrives at each cell; the states before a prediction
  F rate = 0;
  bool waiting = false;     // there are pending changes
};

}  // namespace carrousel::CARROUSEL_TARGET
