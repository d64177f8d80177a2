// Logits, softmax and gradients of a chunk of rows at a time:
//
//   z = h W' + b        classes by panels: the panel of W is transposed for it
//   dz = softmax(z) - target, weighted    row by row
//   dh = dz W           rows by panels of W's own columns, where they lie
//   dW += dz' h         classes by panels of h; dz is transposed for it
//
// With bfloat16 the products are those of pairs (gemm/bfloat16.hpp): rows are rounded once a chunk, W for dh once a call.
//
// A chunk's z stays in the last-level cache. Threads share the classes in the first and last step, and the rows in between; each sum is
// that of one thread in one order, so that no bit depends on their number.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "carrousel/output_layer.hpp"
#include "gemm/operands.hpp"
#include "gemm/transpose.hpp"
#include "machine/activations.hpp"
#include "machine/threads.hpp"
#include "machine/workspace.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class V>
class CrossEntropy {
  using T = element<V>;
  static constexpr int L = lanes<V>;
  static constexpr int64_t C = max_vectors * L;  // columns of a full panel

 public:
  explicit CrossEntropy(const OutputLayer<T>& q) : q(q), operands(q.bfloat16) {}

  void run() {
    Workspace scratch([this](Arena& arena) { lay_out(arena); });
    prefer_large_pages(q.dW, q.V * q.H * sizeof(T));
    if (q.dW && !q.N) write_zeros();
    run_on_threads(threads, [this](Member me) { work(me); });
  }

 private:
  const OutputLayer<T>& q;
  const Operands<V> operands;
  const int64_t class_panels = (q.V + C - 1) / C, unit_panels = (q.H + C - 1) / C;
  const int64_t ld_z = class_panels * C + L;  // not a power of two: equal columns of many rows would map to one set of the cache
  const int64_t chunk = rows_of_chunk(), ld_rows = chunk + L;
  const int threads = int(std::clamp<double>(2.0 * q.N * q.H * q.V / 1.5e6, 1, std::max(q.threads, 1)));

  // More rows transpose W and read and write dW less often, fewer stay in the cache: at most 16 MB of z. In even chunks.
  static constexpr int64_t most_rows_of_chunk = 384;
  int64_t rows_of_chunk() const {
    const int64_t most = std::clamp<int64_t>(4'000'000 / ld_z, 64, most_rows_of_chunk), count = (q.N + most - 1) / most;
    return count ? (q.N + count - 1) / count : 1;
  }

  // Scratch. `panels` and `pointers` have one piece per thread.
  T *z, *h_panels, *last_panel, *panels, *zeros, *sums;
  T *h_rows, *z_rows, *W_panels, *W_rows;  // rounded; W_rows: a vector's worth for each thread
  const T** pointers;
  int64_t panels_each, sums_each, pointers_each;

  void lay_out(Arena& arena) {
    z = arena.take<T>(chunk * ld_z);
    h_panels = arena.take<T>(q.dW ? unit_panels * chunk * C : 0);
    last_panel = arena.take<T>(q.dW && q.H % C && !operands.rounded() ? q.V * C : 0);
    h_rows = arena.take<T>(operands.capacity(chunk, q.H));
    z_rows = arena.take<T>(q.dW ? operands.capacity(chunk, q.V) : 0);
    W_panels = arena.take<T>(q.dW && operands.rounded() ? unit_panels * operands.count(q.V) * C : 0);
    W_rows = arena.take<T>(threads * operands.capacity(L, q.H));
    zeros = arena.take<T>(C);
    panels_each = std::max(q.H * C, C * ld_rows);
    panels = arena.take<T>(threads * panels_each);
    sums_each = std::max(chunk, C) * C;
    sums = arena.take<T>(threads * sums_each);
    pointers_each = std::max<int64_t>(chunk, C);
    pointers = arena.take<const T*>(threads * pointers_each);
  }

  void write_zeros() const {
    std::fill(q.dW, q.dW + q.V * q.H, T(0));
    if (q.db) std::fill(q.db, q.db + q.V, T(0));
  }

  struct ThreadSlice {
    Member me;
    T* panel;  // a panel of W, or columns of dz
    T* sums;   // [chunk or C, C]
    const T** rows;
    T* W_rows;
  };

  void work(Member me) {
    const ThreadSlice slice{me, panels + me.rank * panels_each, sums + me.rank * sums_each, pointers + me.rank * pointers_each,
                            W_rows + me.rank * operands.capacity(L, q.H)};
    if (me.rank == 0) std::fill(zeros, zeros + C, T(0));
    if (q.dW && operands.rounded())
      pair_columns(me);
    else if (q.dW && q.H % C)
      pack_last_columns(me);
    for (int64_t first = 0; first < q.N; first += chunk) {
      const int64_t n = std::min(chunk, q.N - first);
      me.barrier();  // z and the panels of h have been read
      if (operands.rounded()) {
        round_rows(h_rows, q.h + first * q.H, q.H, q.H, me.first(n), me.last(n));
        me.barrier();
      }
      for (int64_t p = me.first(class_panels); p < me.last(class_panels); ++p) multiply(slice, first, n, p);
      if (q.dW) pack_rows_of_h(me, first, n);
      me.barrier();
      for (int64_t i = me.first(n); i < me.last(n); ++i) row(first + i, z + i * ld_z);
      if (!q.dW) continue;
      round_rows(z_rows, z, ld_z, q.V, me.first(n), me.last(n));
      multiply_back(slice, first, n);
      me.barrier();
      for (int64_t p = me.first(class_panels); p < me.last(class_panels); ++p) add_products(slice, first, n, p);
    }
  }

  int64_t width(int64_t panel, int64_t all) const { return std::min(C, all - panel * C); }

  // Rows [first, last) of a matrix [., n], row stride ld, as operands; `operand` is where one of them then lies.
  void round_rows(T* to, const T* from, int64_t ld, int64_t n, int64_t first, int64_t last) const {
    for (int64_t i = first; i < last; ++i) {
      const T* row = from + i * ld;
      operands.round(&row, 1, to + i * operands.capacity(1, n), n);
    }
  }
  const T* operand(const T* rounded, const T* from, int64_t ld, int64_t n, int64_t i) const {
    return operands.rounded() ? rounded + i * operands.capacity(1, n) : from + i * ld;
  }

  // Panel p of a matrix [count, columns], row stride ld, in pairs of rows: those from `first` to `last`.
  void pair_panel(T* to, const T* from, int64_t ld, int64_t count, int64_t columns, int64_t p, int64_t first, int64_t last) const {
    if constexpr (std::is_same_v<T, float>)
      for (int64_t k = first; k < last; ++k)
        for (int64_t c = 0; c < C; c += L) {
          const int some = int(std::clamp<int64_t>(columns - p * C - c, 0, L));
          const auto part = [&](int64_t i) { return some && i < count ? load_n<V>(from + i * ld + p * C + c, some) : V{}; };
          store<V>(to + k * C + c, pair(part(2 * k), part(2 * k + 1)));
        }
  }

  // z of a panel of classes.
  void multiply(const ThreadSlice& slice, int64_t first, int64_t n, int64_t p) const {
    const int64_t real = width(p, q.V);
    for (int u = 0; u < max_vectors; ++u) {
      const T* units[L] = {};
      const int some = int(std::clamp<int64_t>(real - u * L, 0, L));
      for (int lane = 0; lane < some; ++lane) units[lane] = q.W + (p * C + u * L + lane) * q.H;
      operands.round(units, some, slice.W_rows, q.H);
      transpose_strip<V>(slice.panel + u * L, C, units, some, operands.count(q.H), true);
    }
    for (int64_t c = 0; c < C; ++c) slice.sums[c] = q.b && c < real ? q.b[p * C + c] : T(0);
    for (int64_t i = 0; i < n; ++i) slice.rows[i] = operand(h_rows, q.h + first * q.H, q.H, q.H, i);
    gemm<V>(max_vectors, z + p * C, ld_z, slice.sums, 0, n, {slice.rows, slice.panel, C, operands.count(q.H)}, {}, operands.terms());
  }

  // The weighted loss of a row of logits, which become its gradient.
  void row(int64_t i, T* logits) const {
    const T weight = q.weights[i];
    if (weight == 0) {
      q.losses[i] = 0;
      return std::fill(logits, logits + class_panels * C, T(0));
    }
    const T most = largest(logits), of_class = logits[q.classes[i]];
    const T mean = q.smoothing ? sum(logits) / q.V : T(0);
    const T total = exponentiate(logits, most);
    q.losses[i] = weight * (std::log(total) + most - (1 - q.smoothing) * of_class - q.smoothing * mean);
    if (!q.dW) return;
    const V factor = set1<V>(weight / total), spread = set1<V>(weight * q.smoothing / q.V);
    for (int64_t c = 0; c < q.V; c += L) store<V>(logits + c, load<V>(logits + c) * factor - spread);
    logits[q.classes[i]] -= weight * (1 - q.smoothing);
    std::fill(logits + q.V, logits + class_panels * C, T(0));
  }

  T largest(const T* x) const {
    V most = set1<V>(-std::numeric_limits<T>::infinity());
    int64_t c = 0;
    for (; c + L <= q.V; c += L) {
      const V v = load<V>(x + c);
      most = v > most ? v : most;
    }
    T largest = -std::numeric_limits<T>::infinity();
    for (int lane = 0; lane < L; ++lane) largest = std::max(largest, most[lane]);
    for (; c < q.V; ++c) largest = std::max(largest, x[c]);
    return largest;
  }

  T sum(const T* x) const {
    V some{};
    int64_t c = 0;
    for (; c + L <= q.V; c += L) some += load<V>(x + c);
    if (c < q.V) some += load_tail<V>(x + c, int(q.V - c));
    return add_lanes(some);
  }

  // x = exp(x - most); the sum of them.
  T exponentiate(T* x, T most) const {
    const V by = set1<V>(most);
    V some[4] = {};
    for (int64_t c = 0; c < q.V; c += L) {
      V e = exp<V>(load<V>(x + c) - by);
      if (c + L > q.V) e = mask_first_n<V>(e, int(q.V - c));
      store<V>(x + c, e);
      some[c / L % 4] += e;
    }
    return add_lanes((some[0] + some[1]) + (some[2] + some[3]));
  }

  static T add_lanes(V v) {
    T sum = 0;
    for (int lane = 0; lane < L; ++lane) sum += v[lane];
    return sum;
  }

  // All of W for dh.
  void pair_columns(Member me) const {
    const int64_t pairs = operands.count(q.V);
    for (int64_t p = 0; p < unit_panels; ++p) pair_panel(W_panels + p * pairs * C, q.W, q.H, q.V, q.H, p, me.first(pairs), me.last(pairs));
  }

  // The columns of W behind the last full panel.
  void pack_last_columns(Member me) const {
    const int64_t p = unit_panels - 1, real = width(p, q.H);
    for (int64_t v = me.first(q.V); v < me.last(q.V); ++v) {
      std::memcpy(last_panel + v * C, q.W + v * q.H + p * C, real * sizeof(T));
      std::fill(last_panel + v * C + real, last_panel + (v + 1) * C, T(0));
    }
  }

  // h of the chunk, panel by panel.
  void pack_rows_of_h(Member me, int64_t first, int64_t n) const {
    for (int64_t p = me.first(unit_panels); p < me.last(unit_panels); ++p) {
      if (operands.rounded()) pair_panel(h_panels + p * chunk * C, q.h + first * q.H, q.H, n, q.H, p, 0, operands.count(n));
      for (int64_t i = operands.rounded() ? n : 0, real = width(p, q.H); i < n; ++i) {
        T* to = h_panels + (p * chunk + i) * C;
        std::memcpy(to, q.h + (first + i) * q.H + p * C, real * sizeof(T));
        std::fill(to + real, to + C, T(0));
      }
    }
  }

  // dh of this member's rows.
  void multiply_back(const ThreadSlice& slice, int64_t first, int64_t n) const {
    const int64_t from = slice.me.first(n), count = slice.me.last(n) - from;
    for (int64_t i = 0; i < count; ++i) slice.rows[i] = operand(z_rows, z, ld_z, q.V, from + i);
    for (int64_t p = 0; p < unit_panels; ++p) {
      const int64_t real = width(p, q.H);
      Factor<T> product{slice.rows, q.W + p * C, q.H, operands.count(q.V)};
      if (operands.rounded())
        product.panel = W_panels + p * product.K * C, product.ld_panel = C;
      else if (real < C)
        product.panel = last_panel, product.ld_panel = C;
      gemm<V>(int((real + L - 1) / L), slice.sums, C, zeros, 0, count, product, {}, operands.terms());
      for (int64_t i = 0; i < count; ++i) std::memcpy(q.dh + (first + from + i) * q.H + p * C, slice.sums + i * C, real * sizeof(T));
    }
  }

  // dW and db of a panel of classes.
  void add_products(const ThreadSlice& slice, int64_t first, int64_t n, int64_t p) const {
    const int64_t classes = width(p, q.V);
    const T* in[most_rows_of_chunk];
    for (int64_t i = 0; i < n; ++i) in[i] = z + i * ld_z + p * C;
    transpose<V>(slice.panel, ld_rows, in, n, classes);
    for (int64_t c = 0; c < classes; ++c) {
      T* row = slice.panel + c * ld_rows;
      if (q.db) q.db[p * C + c] = (first ? q.db[p * C + c] : T(0)) + add(row, n);
      operands.round_in_place(row, n);
      slice.rows[c] = row;
    }
    for (int64_t u = 0; u < unit_panels; ++u) {
      const int64_t real = width(u, q.H);
      T* to = q.dW + p * C * q.H + u * C;
      const Factor<T> product{slice.rows, h_panels + u * chunk * C, C, operands.count(n)};
      if (real == C) {
        gemm<V>(max_vectors, to, q.H, first ? to : zeros, first ? q.H : 0, classes, product, {}, operands.terms());
        continue;
      }
      gemm<V>(int((real + L - 1) / L), slice.sums, C, zeros, 0, classes, product, {}, operands.terms());
      for (int64_t c = 0; c < classes; ++c)
        for (int64_t k = 0; k < real; ++k) to[c * q.H + k] = (first ? to[c * q.H + k] : T(0)) + slice.sums[c * C + k];
    }
  }

  static T add(const T* x, int64_t n) {
    T sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += x[i];
    return sum;
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
