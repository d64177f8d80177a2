#include "run.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "guarded.hpp"

namespace carrousel::test {
namespace {

template <class F>
class Call {
 public:
  Call(const Case& c, const Ask& ask) : c(c), ask(ask), kernel(find<F>(c.cell.name)), ld(c.P + ask.gap) {
    REQUIRE(kernel);
    q.rows = rows_of(c);
    q.I = c.size.I;
    q.H = c.size.H;
    q.P = c.P;
    q.threads = ask.threads;
    q.ld_y = ld;
    q.masks = ask.masks;
    q.heads = c.options.heads;
    give_inputs();
    take_outputs();
    if (ask.backward) save_for_backward();
  }

  Outcome<F> run() {
    kernel->forward(q);
    check_surroundings();
    Outcome<F> outcome;
    outcome.values[Y] = without_gaps(y.values());
    for (int k = 0; k < max_states; ++k) {
      outcome.values[FINAL + k] = final[k].values();
      if (c.way.shown) outcome.values[HISTORY + k] = history[k].values();
    }
    for (int k = 0; k < max_saved; ++k) outcome.values[SAVED + k] = gates[k].values();
    if (!ask.backward) return outcome;
    ask_for_gradients();
    kernel->backward(q, d);
    check_surroundings();
    for (int i = 0; i < inputs; ++i) outcome.gradients[i] = gradients[i].values();
    return outcome;
  }

 private:
  const Case& c;
  const Ask& ask;
  const Kernel<F>* kernel;
  const int64_t ld;
  Sequence<F> q;
  Gradients<F> d;
  std::array<Guarded<F>, inputs> values, gradients;
  std::array<Guarded<F>, max_states> final, history, d_final, d_history;
  std::array<Guarded<F>, max_saved> gates, d_gates;
  std::array<F*, max_saved> gate_rows{};
  std::array<const F*, max_saved> d_gate_rows{};
  Guarded<F> y, saved, unprojected, dy;

  void give_inputs() {
    for (int i = 0; i < inputs; ++i)
      if (!c.absent(i)) values[i] = Guarded<F>(c.values[i]);
    q.x = values[X].data();
    q.W = values[W].data();
    q.R = values[R].data();
    q.b_x = values[B_X].data();
    q.b_h = values[B_H].data();
    q.per_unit = values[PER_UNIT].data();
    q.projection = values[PROJECTION].data();
    for (int k = 0; k < max_states; ++k) q.initial[k] = values[INITIAL + k].data(), q.restored[k] = values[RESTORED + k].data();
    q.padding = F(c.padding);
  }

  void take_outputs() {
    y = Guarded<F>(c.N() * ld);
    q.y = y.data();
    for (int k = 0; k < c.cell.states; ++k) {
      final[k] = Guarded<F>(c.size_of_output(FINAL + k));
      q.final[k] = final[k].data();
    }
    if (c.way.shown) show();
  }

  void show() {
    q.histories_shown = true;
    for (int k = 1; k < c.cell.states; ++k) take_history(k);
    for (int k = 0; k < kernel->shown; ++k) {
      gates[k] = Guarded<F>(c.N() * c.size.H);
      gate_rows[k] = gates[k].data();
    }
    q.gates = kernel->shown ? gate_rows.data() : nullptr;
  }

  void take_history(int k) {
    history[k] = Guarded<F>(c.N() * c.size.H);
    q.history[k] = history[k].data();
  }

  void save_for_backward() {
    if (kernel->saves_more || (!c.way.shown && !ask.low)) saved = Guarded<F>(c.N() * kernel->saved_size(c.size.H, c.size.I));
    q.saved = saved.data();
    for (int k = 1; k < c.cell.states; ++k)
      if (!c.way.shown && (kernel->history[k] || ask.low)) take_history(k);
    if (c.options.projected && !ask.low) unprojected = Guarded<F>(c.N() * c.size.H);
    q.unprojected = unprojected.data();
  }

  void ask_for_gradients() {
    for (int k = 0; k < max_states; ++k) q.final[k] = nullptr;  // backward does not read it
    if (ask.dy) dy = Guarded<F>(with_gaps(c.d_outputs[Y]));
    d.dy = dy.data();
    d.ld_dy = ld;
    for (int k = 0; k < c.cell.states && ask.d_final; ++k) {
      d_final[k] = Guarded<F>(c.d_outputs[FINAL + k]);
      d.d_final[k] = d_final[k].data();
    }
    if (c.way.shown) give_gradients_of_shown();
    for (int i = 0; i < inputs; ++i)
      if (ask.wanted[i]) gradients[i] = Guarded<F>(c.size_of_input(i));
    d.dx = gradients[X].data();
    d.dW = gradients[W].data();
    d.dR = gradients[R].data();
    d.db_x = gradients[B_X].data();
    d.db_h = gradients[B_H].data();
    d.d_per_unit = gradients[PER_UNIT].data();
    d.d_projection = gradients[PROJECTION].data();
    for (int k = 0; k < max_states; ++k) d.d_initial[k] = gradients[INITIAL + k].data();
    for (int k = 0; k < max_states; ++k) d.d_restored[k] = gradients[RESTORED + k].data();
  }

  void give_gradients_of_shown() {
    for (int k = 1; k < c.cell.states; ++k) {
      d_history[k] = Guarded<F>(c.d_outputs[HISTORY + k]);
      d.d_history[k] = d_history[k].data();
    }
    for (int k = 0; k < kernel->shown; ++k) {
      if (!c.is_gate(k)) continue;
      d_gates[k] = Guarded<F>(c.d_outputs[SAVED + k]);
      d_gate_rows[k] = d_gates[k].data();
    }
    d.d_gates = kernel->shown ? d_gate_rows.data() : nullptr;
  }

  std::vector<double> with_gaps(const std::vector<double>& rows) const {
    std::vector<double> all(c.N() * ld, std::numeric_limits<double>::quiet_NaN());
    for (int64_t n = 0; n < c.N(); ++n) std::copy_n(&rows[n * c.P], c.P, &all[n * ld]);
    return all;
  }

  std::vector<F> without_gaps(const std::vector<F>& all) const {
    std::vector<F> rows(c.N() * c.P);
    bool gaps_untouched = true;
    for (int64_t n = 0; n < c.N(); ++n) {
      std::copy_n(&all[n * ld], c.P, &rows[n * c.P]);
      for (int64_t p = c.P; p < ld; ++p) gaps_untouched = gaps_untouched && untouched(all[n * ld + p]);
    }
    CHECK(gaps_untouched);
    return rows;
  }

  void check_surroundings() const {
    bool unharmed = y.unharmed() && saved.unharmed() && unprojected.unharmed() && dy.unharmed();
    for (int i = 0; i < inputs; ++i) unharmed = unharmed && values[i].unharmed() && gradients[i].unharmed();
    for (int k = 0; k < max_states; ++k) unharmed = unharmed && final[k].unharmed() && history[k].unharmed() && d_final[k].unharmed();
    for (int k = 0; k < max_saved; ++k) unharmed = unharmed && gates[k].unharmed() && d_gates[k].unharmed();
    CHECK(unharmed);
  }
};

}  // namespace

Rows rows_of(const Case& c) {
  const int64_t T = c.size.T, B = c.size.B;
  Rows rows{T, B, c.way.batch_first ? 1 : B, c.way.batch_first ? T : 1, c.way.packed ? c.batch_sizes.data() : nullptr, c.way.reverse};
  if (c.way.lengths) rows.lengths = c.lengths.data();
  if (c.way.offsets) rows.offsets = c.offsets.data();
  if (c.way.resets) rows.resets = c.resets.data();
  return rows;
}

template <class F>
Outcome<F> run(const Case& c, const Ask& ask) {
  return Call<F>(c, ask).run();
}
template Outcome<float> run(const Case&, const Ask&);
template Outcome<double> run(const Case&, const Ask&);

template <class F>
bool same_bits(const std::vector<F>& a, const std::vector<F>& b) {
  return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(F)));
}
template bool same_bits(const std::vector<float>&, const std::vector<float>&);
template bool same_bits(const std::vector<double>&, const std::vector<double>&);

template <class F>
void check_same_bits(const Outcome<F>& a, const Outcome<F>& b) {
  for (int o = 0; o < outputs; ++o) {
    CAPTURE(name_of_output(o));
    CHECK(same_bits(a.values[o], b.values[o]));
  }
  for (int i = 0; i < inputs; ++i) {
    if (a.gradients[i].empty() || b.gradients[i].empty()) continue;
    CAPTURE(name_of_input(i));
    CHECK(same_bits(a.gradients[i], b.gradients[i]));
  }
}
template void check_same_bits(const Outcome<float>&, const Outcome<float>&);
template void check_same_bits(const Outcome<double>&, const Outcome<double>&);

Using::Using(const char* name) : before_(instruction_set()) { REQUIRE(use_instruction_set(name)); }
Using::~Using() { use_instruction_set(before_); }

}  // namespace carrousel::test
