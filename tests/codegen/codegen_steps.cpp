// Runs the generated steps of all cells, for test_codegen_steps.py, on numbers that count their operations.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>
namespace carrousel {
struct Counted {
  double v;
};  // a number that counts the operations on it
inline int operations = 0;
inline Counted operator+(Counted x, Counted y) {
  ++operations;
  return {x.v + y.v};
}
inline Counted operator-(Counted x, Counted y) {
  ++operations;
  return {x.v - y.v};
}
inline Counted operator*(Counted x, Counted y) {
  ++operations;
  return {x.v * y.v};
}
inline Counted operator/(Counted x, Counted y) {
  ++operations;
  return {x.v / y.v};
}
inline Counted operator-(Counted x) {
  ++operations;
  return {-x.v};
}
template <class V>
V set1(double x) {
  return V{x};
}
inline Counted sigmoid(Counted x) { return {1 / (1 + std::exp(-x.v))}; }
inline Counted tanh(Counted x) { return {std::tanh(x.v)}; }
inline Counted exp(Counted x) { return {std::exp(x.v)}; }
inline Counted expm1(Counted x) { return {std::expm1(x.v)}; }
inline Counted log(Counted x) { return {std::log(x.v)}; }
inline Counted log1p(Counted x) { return {std::log1p(x.v)}; }
inline Counted softplus(Counted x) { return {std::fmax(x.v, 0) + std::log1p(std::exp(-std::abs(x.v)))}; }
inline Counted sqrt(Counted x) { return {std::sqrt(x.v)}; }
inline Counted abs(Counted x) { return {std::abs(x.v)}; }
inline Counted sign(Counted x) { return {double(x.v > 0) - double(x.v < 0)}; }
inline Counted clamp(Counted x, Counted l, Counted h) { return {x.v < l.v ? l.v : x.v > h.v ? h.v : x.v}; }
inline Counted maximum(Counted x, Counted y) { return {std::fmax(x.v, y.v)}; }
inline Counted minimum(Counted x, Counted y) { return {std::fmin(x.v, y.v)}; }
inline Counted less(Counted x, Counted y) { return {double(x.v < y.v)}; }
inline Counted less_equal(Counted x, Counted y) { return {double(x.v <= y.v)}; }
inline Counted equal(Counted x, Counted y) { return {double(x.v == y.v)}; }
inline Counted select(Counted mask, Counted x, Counted y) { return mask.v != 0 ? x : y; }
inline Counted relu(Counted x) { return {x.v > 0 ? x.v : 0}; }
inline Counted step_of(Counted x) { return {x.v > 0 ? 1.0 : 0.0}; }
}  // namespace carrousel
#define CARROUSEL_TARGET generic
#define CARROUSEL_INLINE inline
#include "all.hpp"
using carrousel::Counted;

// One step and its reverse for each of n samples. A state that backward says it does not read is NaN to it.
template <class C>
void run(int n, const Counted* a, const Counted* s, const Counted* p, const Counted* m, const Counted* ds_new, Counted* s_new, Counted* da,
         Counted* ds, Counted* dp) {
  const Counted nan{std::numeric_limits<double>::quiet_NaN()};
  std::vector<Counted> save(C::saved + 1), show(C::shown + 1), old(C::states), now(C::states);
  for (int k = 0; k < n; ++k) {
    C::forward(a, s, p, m, s_new, save.data(), show.data());
    for (int j = 0; j < C::states; ++j) {
      old[j] = C::reads_old[j] ? s[j] : nan;
      now[j] = C::reads_new[j] ? s_new[j] : nan;
    }
    C::backward(save.data(), old.data(), now.data(), p, m, ds_new, da, ds, dp);
    a += C::rows, s += C::states, p += C::weights, m += C::masks, ds_new += C::states;
    s_new += C::states, da += C::rows, ds += C::states, dp += C::weights;
  }
}

// The same with outputs laid on inputs: s_new on s, keep and da on a, ds on ds_new.
template <class C>
void run_in_place(int n, Counted* a, Counted* s, const Counted* p, const Counted* m, Counted* ds_new, Counted* dp) {
  std::vector<Counted> old(C::states), room(std::max(C::saved, C::rows) + 1), show(C::shown + 1);
  for (int k = 0; k < n; ++k) {
    std::copy(s, s + C::states, old.data());
    std::copy(a, a + C::rows, room.data());
    C::forward(room.data(), s, p, m, s, room.data(), show.data());
    C::backward(room.data(), old.data(), s, p, m, ds_new, room.data(), ds_new, dp);
    std::copy(room.data(), room.data() + C::rows, a);
    a += C::rows, s += C::states, p += C::weights, m += C::masks, ds_new += C::states, dp += C::weights;
  }
}

#define STEP(c)                                                                                                                \
  extern "C" void c##_run(int n, Counted* a, Counted* s, Counted* p, Counted* m, Counted* ds_new, Counted* s_new, Counted* da, \
                          Counted* ds, Counted* dp) {                                                                          \
    run<carrousel::generic::cells::c>(n, a, s, p, m, ds_new, s_new, da, ds, dp);                                               \
  }                                                                                                                            \
  extern "C" void c##_in_place(int n, Counted* a, Counted* s, Counted* p, Counted* m, Counted* ds_new, Counted* dp) {          \
    run_in_place<carrousel::generic::cells::c>(n, a, s, p, m, ds_new, dp);                                                     \
  }                                                                                                                            \
  extern "C" void c##_facts(int* facts) {                                                                                      \
    using C = carrousel::generic::cells::c;                                                                                    \
    const int counts[] = {C::rows, C::x_first, C::x_rows, C::h_first, C::h_rows, C::states, C::weights, C::saved};             \
    std::copy(counts, counts + 8, facts);                                                                                      \
    std::copy(C::x_order, C::x_order + C::x_rows, facts + 8);                                                                  \
    std::copy(C::h_order, C::h_order + C::h_rows, facts + 8 + C::x_rows);                                                      \
  }
CARROUSEL_CELLS(STEP)
extern "C" int take_operations() { return std::exchange(carrousel::operations, 0); }
