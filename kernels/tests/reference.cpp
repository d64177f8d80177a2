#include "reference.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

// The generated cells on numbers with slopes: the functions that cells call must be declared before the cells are included.
#define CARROUSEL_TARGET reference
#define CARROUSEL_INLINE inline

namespace carrousel::reference {

struct Dual {
  double value = 0;
  double slopes[test::inputs] = {};  // the derivative along the direction of each input
};

// f(x) with derivative df at x
inline Dual chain(double f, double df, const Dual& x) {
  Dual y{f};
  for (int i = 0; i < test::inputs; ++i) y.slopes[i] = df * x.slopes[i];
  return y;
}
inline Dual combine(double f, double df_dx, const Dual& x, double df_dy, const Dual& y) {
  Dual z{f};
  for (int i = 0; i < test::inputs; ++i) z.slopes[i] = df_dx * x.slopes[i] + df_dy * y.slopes[i];
  return z;
}

inline Dual operator+(const Dual& x, const Dual& y) { return combine(x.value + y.value, 1, x, 1, y); }
inline Dual operator-(const Dual& x, const Dual& y) { return combine(x.value - y.value, 1, x, -1, y); }
inline Dual operator*(const Dual& x, const Dual& y) { return combine(x.value * y.value, y.value, x, x.value, y); }
inline Dual operator/(const Dual& x, const Dual& y) {
  return combine(x.value / y.value, 1 / y.value, x, -x.value / (y.value * y.value), y);
}
inline Dual operator-(const Dual& x) { return chain(-x.value, -1, x); }
inline Dual exp(const Dual& x) { return chain(std::exp(x.value), std::exp(x.value), x); }
inline Dual tanh(const Dual& x) { return chain(std::tanh(x.value), 1 / (std::cosh(x.value) * std::cosh(x.value)), x); }
inline Dual sigmoid(const Dual& x) {
  return chain(1 / (1 + std::exp(-x.value)), 1 / ((1 + std::exp(x.value)) * (1 + std::exp(-x.value))), x);
}
inline Dual relu(const Dual& x) { return chain(x.value > 0 ? x.value : 0, x.value > 0, x); }
inline Dual sqrt(const Dual& x) { return chain(std::sqrt(x.value), 0.5 / std::sqrt(x.value), x); }
inline Dual step_of(const Dual& x) { return Dual{double(x.value > 0)}; }
inline Dual softplus(const Dual& x) {
  return chain(std::fmax(x.value, 0) + std::log1p(std::exp(-std::abs(x.value))), 1 / (1 + std::exp(-x.value)), x);
}
inline Dual less(const Dual& x, const Dual& y) { return Dual{double(x.value < y.value)}; }
inline Dual less_equal(const Dual& x, const Dual& y) { return Dual{double(x.value <= y.value)}; }
inline const Dual& select(const Dual& mask, const Dual& x, const Dual& y) { return mask.value != 0 ? x : y; }
template <class V>
V set1(double x) {
  return V{x};
}

}  // namespace carrousel::reference

#include "carrousel/cells/all.hpp"

namespace carrousel::test {
namespace {

using reference::Dual;
using Duals = std::vector<Dual>;

void add_product(Dual& sum, const Dual& x, const Dual& y) {
  sum.value += x.value * y.value;
  for (int i = 0; i < inputs; ++i) sum.slopes[i] += x.value * y.slopes[i] + y.value * x.slopes[i];
}

template <class C>
inline constexpr bool is_normed = requires { C::normed; };

template <class C>
class Loops {
 public:
  explicit Loops(const Case& c) : c(c) {
    for (int i = 0; i < inputs; ++i) {
      in[i].resize(c.values[i].size());
      for (size_t k = 0; k < in[i].size(); ++k) in[i][k].value = c.values[i][k], in[i][k].slopes[i] = c.directions[i][k];
    }
    for (int o = 0; o < outputs; ++o) expected.values[o].assign(c.size_of_output(o), c.padding);
    for (int k = 0; k < C::states; ++k) states[k] = in[INITIAL + k];
  }

  Expected run() {
    for (int64_t s = 0; s < c.size.T; ++s) {
      const int64_t t = c.way.reverse ? c.size.T - 1 - s : s;
      for (int64_t b = 0; b < c.size.B; ++b)
        if (t < c.length(b)) step(t, b);
    }
    for (int k = 0; k < C::states; ++k)
      for (size_t i = 0; i < states[k].size(); ++i) put(FINAL + k, i, states[k][i]);
    return expected;
  }

 private:
  const Case& c;
  std::array<Duals, inputs> in;
  Duals states[C::states];  // [B, P] or [B, H], the current states of the rows
  Expected expected;

  void put(int output, int64_t i, const Dual& x, bool in_loss = true) {
    expected.values[output][i] = x.value;
    for (int k = 0; k < inputs && in_loss; ++k) expected.slopes[k] += c.d_outputs[output][i] * x.slopes[k];
  }

  void step(int64_t t, int64_t b) {
    const int64_t H = c.size.H, P = c.P;
    if (c.restarts(t, b))
      for (int k = 0; k < C::states; ++k) std::copy_n(&in[RESTORED + k][b * (k ? H : P)], k ? H : P, &states[k][b * (k ? H : P)]);
    const Duals h_old(states[0].begin() + b * P, states[0].begin() + (b + 1) * P);
    Duals h_new(H);
    if constexpr (is_normed<C>)
      normed(t, b, h_old, h_new);
    else
      for (int64_t unit = 0; unit < H; ++unit) h_new[unit] = pointwise(t, b, unit, h_old);
    for (int64_t p = 0; p < P; ++p) {
      Dual& h = states[0][b * P + p];
      h = c.options.projected ? dot(&in[PROJECTION][p * H], h_new.data(), H) : h_new[p];
      put(Y, c.at(t, b) * P + p, h);
    }
  }

  // One unit of a row: updates the states but h, returns the new h.
  Dual pointwise(int64_t t, int64_t b, int64_t unit, const Duals& h_old) {
    const int64_t H = c.size.H;
    Dual a[C::rows], old[C::states], now[C::states], weights[C::weights + 1], mask[C::masks + 1], save[C::saved + 1], show[C::shown + 1];
    for (int k = 0; k < C::x_rows; ++k) {
      const int64_t line = C::x_order[k] * H + unit;
      a[C::x_first + k] = a[C::x_first + k] + in[B_X][line] + dot(&in[W][line * c.size.I], &in[X][c.at(t, b) * c.size.I], c.size.I);
    }
    for (int k = 0; k < C::h_rows; ++k) {
      const int64_t line = C::h_order[k] * H + unit;
      a[C::h_first + k] = a[C::h_first + k] + in[B_H][line] + fed_back(line, h_old);
    }
    if (!c.options.projected) old[0] = h_old[unit];
    for (int k = 1; k < C::states; ++k) old[k] = states[k][b * H + unit];
    for (int w = 0; w < C::weights; ++w) weights[w] = in[PER_UNIT][w * H + unit];
    for (int k = 0; k < C::masks; ++k) mask[k].value = C::neutral[k];
    C::forward(a, old, weights, mask, now, save, show);
    const int64_t shown = c.at(t, b) * H + unit;
    for (int k = 1; k < C::states; ++k) {
      states[k][b * H + unit] = now[k];
      if (c.way.shown) put(HISTORY + k, shown, now[k]);
    }
    for (int k = 0; k < C::shown && c.way.shown; ++k) put(SAVED + k, shown, show[k], c.is_gate(k));
    return now[0];
  }

  // A row of a normalised cell, which needs all its units at once.
  void normed(int64_t t, int64_t b, const Duals& h_old, Duals& h_new) {
    const int64_t H = c.size.H;
    Duals x(C::x_rows * H), h(C::h_rows * H), raw(H), saved(H * (C::saved + 1));
    for (size_t line = 0; line < x.size(); ++line) x[line] = dot(&in[W][line * c.size.I], &in[X][c.at(t, b) * c.size.I], c.size.I);
    for (size_t line = 0; line < h.size(); ++line) h[line] = fed_back(line, h_old);
    normalise(x);
    normalise(h);
    std::vector<Unit> units;
    for (int64_t unit = 0; unit < H; ++unit) units.push_back(unit_of(b, unit, h_old));
    for (int64_t unit = 0; unit < H; ++unit) {
      Dual a[C::rows], now[C::states];
      for (int k = 0; k < C::x_rows; ++k) {
        const int64_t line = C::x_order[k] * H + unit;
        a[C::x_first + k] = a[C::x_first + k] + in[B_X][line] + in[PER_UNIT][line] * x[line];
      }
      for (int k = 0; k < C::h_rows; ++k) {
        const int64_t line = C::h_order[k] * H + unit;
        a[C::h_first + k] = a[C::h_first + k] + in[B_H][line] + in[PER_UNIT][x.size() + line] * h[line];
      }
      C::before(a, units[unit].old, units[unit].weights, now, &saved[unit * (C::saved + 1)], &raw[unit]);
      for (int k = 0; k < C::states; ++k)
        if (!C::late[k]) (k ? states[k][b * H + unit] : h_new[unit]) = now[k];
    }
    normalise(raw);
    for (int64_t unit = 0; unit < H; ++unit) {
      Dual late[C::states], now[C::states];
      for (int k = 1; k < C::states; ++k) now[k] = states[k][b * H + unit];
      C::after(&saved[unit * (C::saved + 1)], units[unit].old, now, units[unit].weights, &raw[unit], late);
      for (int k = 0; k < C::states; ++k)
        if (C::late[k]) (k ? states[k][b * H + unit] : h_new[unit]) = late[k];
      const int64_t shown = c.at(t, b) * H + unit;
      for (int k = 1; k < C::states && c.way.shown; ++k) put(HISTORY + k, shown, states[k][b * H + unit]);
      for (int k = 0; k < C::saved && c.way.shown; ++k) put(SAVED + k, shown, saved[unit * (C::saved + 1) + k], c.is_gate(k));
    }
  }

  struct Unit {
    Dual old[C::states], weights[C::weights + 1];
  };
  Unit unit_of(int64_t b, int64_t unit, const Duals& h_old) const {
    Unit u;
    u.old[0] = h_old[unit];
    for (int k = 1; k < C::states; ++k) u.old[k] = states[k][b * c.size.H + unit];
    for (int w = 0; w < C::weights; ++w) u.weights[w] = in[PER_UNIT][w * c.size.H + unit];
    return u;
  }

  static void normalise(Duals& v) {
    const Dual count{double(v.size())};
    Dual mean, variance;
    for (const Dual& x : v) mean = mean + x;
    mean = mean / count;
    for (const Dual& x : v) variance = variance + (x - mean) * (x - mean);
    const Dual deviation = sqrt(variance / count + Dual{C::epsilon});
    for (Dual& x : v) x = (x - mean) / deviation;
  }

  // A row of R times h or, by heads, times the part of h that is fed back to that row's unit.
  Dual fed_back(int64_t line, const Duals& h) const {
    const int64_t width = c.width_of_R(), head = line % c.size.H * c.options.heads / c.size.H;
    return dot(&in[R][line * width], &h[head * width], width);
  }

  static Dual dot(const Dual* x, const Dual* y, int64_t n) {
    Dual sum;
    for (int64_t i = 0; i < n; ++i) add_product(sum, x[i], y[i]);
    return sum;
  }
};

template <class C>
constexpr Cell facts() {
  static_assert(C::shown <= max_saved);
  return {C::name, C::rows, C::x_rows, C::h_rows, C::states, C::weights, C::reads_old[0] || is_normed<C>, C::shown, C::shown_names};
}

#define CARROUSEL_FACTS(name) facts<reference::cells::name>(),
constexpr Cell cells[] = {CARROUSEL_CELLS(CARROUSEL_FACTS) CARROUSEL_NORMED_CELLS(CARROUSEL_FACTS)};

}  // namespace

std::span<const Cell> all_cells() { return cells; }

const Cell& cell_named(const char* name) {
  for (const Cell& cell : cells)
    if (!std::strcmp(cell.name, name)) return cell;
  throw std::invalid_argument(name);
}

Expected expect(const Case& c) {
#define CARROUSEL_RUN(cell_name) \
  if (!std::strcmp(c.cell.name, #cell_name)) return Loops<reference::cells::cell_name>(c).run();
  CARROUSEL_CELLS(CARROUSEL_RUN)
  CARROUSEL_NORMED_CELLS(CARROUSEL_RUN)
  throw std::invalid_argument(c.cell.name);
}

}  // namespace carrousel::test
