// The gradients of the weights and of x, a chunk of steps at a time:
//
//   dx = da W        dW += da' x        dR += da' h        db += sum of da        dP += dp' h_full
//
// The columns of x and h are distributed over threads. One thread sums each column's gradient over all of the chunk in one order,
// so that no bit depends on the number of threads.
#pragma once
#include <utility>
#include "gemm/pack.hpp"
#include "machine/threads.hpp"
#include "machine/workspace.hpp"
#include "sequence/fed_back.hpp"
#include "sequence/states.hpp"
#include "sequence/time.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class WeightGradients {
  using T = element<V>;
  static constexpr int L = lanes<V>;
  static constexpr int R = Cell::rows;
  static constexpr int64_t N = max_vectors * L;  // columns of a full panel

 public:
  // ld_da: row stride of da; chunk_rows: the most rows of a chunk. With `low_memory` the inputs are transposed some columns at a
  // time, a panel of a large W is packed when it is needed, and each member's scratch may be used by others between calls (lent).
  // steps, states and fed_back must outlive this.
  WeightGradients(const Sequence<T>& q, const Gradients<T>& d, const Steps& steps, const States<T>& states,
                  const FedBack<Cell, V>& fed_back, int64_t ld_da, int64_t chunk_rows, bool low_memory = false)
      : q(q),
        d(d),
        shape(q.H),
        operands(q),
        steps(steps),
        states(states),
        fed_back(fed_back),
        ld_da(ld_da),
        chunk_rows(chunk_rows),
        ld_k(chunk_rows + L),
        low_memory(low_memory) {}

  // lent: the least elements of each member's scratch.
  void lay_out(Arena& arena, int threads, int64_t lent = 0) {
    const int64_t widest = low_memory ? columns_at_once : std::max<int64_t>({q.I, R_columns, q.H}) + max_rows;
    x_panels = arena.take<T>(d.dx && !one_panel ? in_quads * x_panel_size() : 0);
    paired = arena.take<T>(operands.rounded() && (d.dW || d.dR) ? pairs_for(chunk_rows) * ld_da : 0);
    dW = arena.take<T>(d.dW ? q.I * x_width : 0);
    dR = arena.take<T>(d.dR ? R_columns * h_width : 0);
    dP = arena.take<T>(d.d_projection ? q.H * out_quads * N : 0);
    db = arena.take<T>(R * shape.padded);
    accumulators_each = d.dx || d.d_projection || (copies_panels && (d.dW || d.dR)) ? chunk_rows * N : 0;
    accumulators = arena.take<T>(threads * accumulators_each);
    columns_each = d.dW || d.dR || d.d_projection ? widest * ld_k : 0;
    if (low_memory) columns_each = std::max({columns_each, d.dx && one_panel ? x_panel_size() : 0, lent}) / L * L + L;
    columns = arena.take<T>(threads * columns_each);
    fed = arena.take<T>(d.dR && fed_back.made() ? chunk_rows * R_columns : 0);
    pointers_each = chunk_rows + widest;
    pointers = arena.take<const T*>(threads * pointers_each);
  }

  void prepare(Member me) {
    for (int64_t p = me.first(in_quads); d.dx && !one_panel && p < me.last(in_quads); ++p) pack_x(x_panels + p * x_panel_size(), p);
    me.clear(db, R * shape.padded);
    if (d.dW) me.clear(dW, q.I * x_width);
    if (d.dR) me.clear(dR, R_columns * h_width);
    if (d.d_projection) me.clear(dP, q.H * out_quads * N);
  }

  // This member's scratch, free for other use except during add().
  T* lent(Member me) const { return columns + me.rank * columns_each; }

  // Adds the steps [first, last). The pointers are to their first rows of da, of da rounded, of dp and of the recomputed h before
  // the projection. All members have written them, and all call this.
  void add(Member me, const T* da, const T* rounded, const T* dp, const T* unprojected, int64_t first, int64_t last) {
    const ThreadSlice slice{.me = me,
                            .a = accumulators + me.rank * accumulators_each,
                            .columns = columns + me.rank * columns_each,
                            .rows = pointers + me.rank * pointers_each};
    int64_t count = 0;
    for (int64_t s = first; s < last; ++s) count += steps.active(s);
    if (d.dx) sum_x(slice, operands.rounded() ? rounded : da, first, last, count);
    if (d.db_x || d.db_h) sum_bias(slice.me, da, count);
    if (operands.rounded() && (d.dW || d.dR)) da = paired_da(me, da, count);
    const int64_t x_tiles = d.dW ? (q.I + max_rows - 1) / max_rows : 0, h_tiles = d.dR ? (R_columns + max_rows - 1) / max_rows : 0;
    const int64_t tiles = x_tiles + h_tiles;
    const int64_t mine = slice.me.first(tiles), end = slice.me.last(tiles);
    if (mine < std::min(x_tiles, end)) {
      list_inputs(slice, first, last, [this](int64_t s, int64_t b) { return q.x + steps.at(s, b) * q.I; });
      sum_products(slice, dW, da + Cell::x_first * shape.padded, ld_da, x_width, mine * max_rows,
                   std::min(std::min(x_tiles, end) * max_rows, q.I), count);
    }
    if (std::max(mine, x_tiles) < end) {
      const int64_t i0 = (std::max(mine, x_tiles) - x_tiles) * max_rows, i1 = std::min((end - x_tiles) * max_rows, R_columns);
      if (fed_back.made())
        list_fed_back(slice, first, last, i0, i1);
      else
        list_inputs(slice, first, last, [this](int64_t s, int64_t b) { return states.before(0, steps.origin(s, b), s, b); });
      sum_products(slice, dR, da + Cell::h_first * shape.padded, ld_da, h_width, i0, i1, count);
    }
    if (d.d_projection) {
      list_inputs(slice, first, last, [&, at = unprojected](int64_t s, int64_t b) mutable {
        return q.unprojected ? q.unprojected + steps.saved_at(s, b) * q.H : std::exchange(at, at + q.H);
      });
      sum_projection(slice, dp, count);
    }
  }

  // Writes the sums to the caller's arrays.
  void write(Member me) const {
    if (d.dW) write_matrix(me, d.dW, dW, q.I, Cell::x_order, Cell::x_rows);
    if (d.dR) write_matrix(me, d.dR, dR, R_columns, Cell::h_order, Cell::h_rows);
    for (int64_t p = me.first(q.P); d.d_projection && p < me.last(q.P); ++p)
      for (int64_t u = 0; u < q.H; ++u) d.d_projection[p * q.H + u] = dP[u * out_quads * N + p];
    if (me.rank) return;
    for (int r = 0; r < Cell::x_rows && d.db_x; ++r)
      std::memcpy(d.db_x + Cell::x_order[r] * q.H, db + (Cell::x_first + r) * shape.padded, q.H * sizeof(T));
    for (int r = 0; r < Cell::h_rows && d.db_h; ++r)
      std::memcpy(d.db_h + Cell::h_order[r] * q.H, db + (Cell::h_first + r) * shape.padded, q.H * sizeof(T));
  }

 private:
  const Sequence<T>& q;
  const Gradients<T>& d;
  const RowBlocks<Cell, V> shape;
  const Operands<V> operands;
  const Steps& steps;
  const States<T>& states;
  const FedBack<Cell, V>& fed_back;
  const int64_t ld_da, chunk_rows, ld_k;
  const bool low_memory;
  static constexpr bool copies_panels = registers == 16;
  static constexpr int64_t columns_at_once = 24 * max_rows;
  const int64_t x_width = Cell::x_rows * shape.padded, h_width = Cell::h_rows * shape.padded, R_columns = columns_of_R<Cell>(q);
  const int64_t in_quads = (q.I + N - 1) / N, out_quads = (q.P + N - 1) / N;
  const bool one_panel = low_memory && double(in_quads) * x_panel_size() * sizeof(T) > low_memory_bytes;  // one panel of W at a time

  // Scratch.
  T* x_panels;                // W by columns
  T* paired;                  // [chunk rows / 2, R * padded]  da of a chunk, two rows in pairs
  T *dW, *dR, *dP, *db;       // sums: [I, x_width], [R_columns, h_width], [H, P], [R * padded]
  T *accumulators, *columns;  // one piece per thread; columns: a panel of W, then the transposed inputs of a chunk
  T* fed;                     // [chunk rows, R_columns]  the operand of R; each thread writes the columns that it reads
  const T** pointers;
  int64_t accumulators_each, columns_each, pointers_each;

  struct ThreadSlice {
    Member me;
    T* a;
    T* columns;
    const T** rows;
  };

  int64_t x_panel_size() const { return N * operands.count(Cell::x_rows * shape.padded); }

  // da as the panel of the weight gradients' products, made by all members.
  const T* paired_da(Member me, const T* da, int64_t count) const {
    const int64_t rows = pairs_for(count);
    operands.pair_up(paired, da, ld_da, count, R * shape.padded, me.first(rows), me.last(rows));
    me.barrier();
    return paired;
  }

  template <class Input>
  void list_inputs(const ThreadSlice& slice, int64_t first, int64_t last, Input input) {
    int64_t k = 0;
    for (int64_t s = first; s < last; ++s)
      for (int64_t b = 0, n = steps.active(s); b < n; ++b) slice.rows[k++] = input(s, b);
  }

  // Makes the columns [i0, i1) of the operand of R, where it is not h in place.
  void list_fed_back(const ThreadSlice& slice, int64_t first, int64_t last, int64_t i0, int64_t i1) {
    T* to = fed;
    list_inputs(slice, first, last, [&](int64_t s, int64_t b) {
      const auto state = [&, origin = steps.origin(s, b)](int k) { return states.before(k, origin, s, b); };
      return fed_back.row(std::exchange(to, to + R_columns), b, state, i0, i1);
    });
  }

  // Passes the columns [i0, i1) of the inputs in slice.rows, some at a time, to use(from, to, rows): rows[i - from][k] is column i
  // of the k-th input.
  template <class Use>
  void with_columns(const ThreadSlice& slice, int64_t count, int64_t i0, int64_t i1, Use use) const {
    const T** columns = slice.rows + chunk_rows;
    int64_t moved = 0;
    for (int64_t from = i0, to; from < i1; from = to) {
      to = low_memory ? std::min(from + columns_at_once, i1) : i1;
      for (int64_t k = 0; k < count; ++k) slice.rows[k] += from - moved;
      moved = from;
      transpose<V>(slice.columns, ld_k, slice.rows, count, to - from);
      for (int64_t i = 0; i < to - from; ++i) {
        columns[i] = slice.columns + i * ld_k;
        operands.round_in_place(slice.columns + i * ld_k, count);
      }
      use(from, to, columns);
    }
  }

  // sums[i, width] += sum over the chunk of input_i * da, for i in [i0, i1): inputs on the broadcast side, da on the vector side.
  // The inputs in slice.rows are transposed first, so that the tile reads each of them contiguously in k.
  void sum_products(const ThreadSlice& slice, T* sums, const T* da, int64_t ld, int64_t width, int64_t i0, int64_t i1, int64_t count) {
    with_columns(slice, count, i0, i1, [&](int64_t from, int64_t to, const T* const* inputs) {
      for (int64_t c = 0; c < width; c += N) {
        const int vectors = int(std::min(N, width - c) / L);
        T* sum = sums + from * width + c;
        gemm<V>(vectors, sum, width, sum, width, to - from, panel_of(slice, da + c, ld, vectors, inputs, operands.count(count)), {},
                operands.terms_of_many());
      }
    });
  }

  // The product of the inputs and `vectors` of the columns of da [count, ld]. With few registers many tiles read a panel: from lines side
  // by side in a copy, 2 to 4 % faster; with 32 the copy costs as much as it gains.
  Factor<T> panel_of(const ThreadSlice& slice, const T* da, int64_t ld, int vectors, const T* const* inputs, int64_t count) const {
    if (!copies_panels) return {inputs, da, ld, count};
    const int64_t width = vectors * L;
    for (int64_t k = 0; k < count; ++k) std::memcpy(slice.a + k * width, da + k * ld, width * sizeof(T));
    return {inputs, slice.a, width, count};
  }

  // dP' [H, P] += h_full' dp. The rows of dp are P wide, without padding: the last columns go through a padded copy.
  void sum_projection(const ThreadSlice& slice, const T* dp, int64_t count) {
    with_columns(slice, count, slice.me.first(q.H), slice.me.last(q.H), [&](int64_t from, int64_t to, const T* const* inputs) {
      for (int64_t p = 0; p < out_quads; ++p) {
        const int64_t some = std::min(N, q.P - p * N);
        for (int64_t k = 0; k < count; ++k) {
          std::memcpy(slice.a + k * N, dp + k * q.P + p * N, some * sizeof(T));
          std::fill(slice.a + k * N + some, slice.a + (k + 1) * N, T(0));
        }
        operands.pair_up(slice.a, slice.a, N, count, N, 0, pairs_for(count));
        T* sum = dP + from * out_quads * N + p * N;
        gemm<V>(max_vectors, sum, out_quads * N, sum, out_quads * N, to - from, {inputs, slice.a, N, operands.count(count)}, {},
                operands.terms_of_many());
      }
    });
  }

  void sum_bias(Member me, const T* da, int64_t count) {
    const int64_t vectors = R * shape.blocks, last = me.last(vectors);
    int64_t v = me.first(vectors);
    for (; v + 4 <= last; v += 4) add_up<4>(db + v * L, da + v * L, count);  // four sums at once hide the latency of an addition
    for (; v < last; ++v) add_up<1>(db + v * L, da + v * L, count);
  }

  template <int Vectors>
  void add_up(T* sums, const T* da, int64_t count) const {
    V chunk_sum[Vectors] = {};
    for (int64_t k = 0; k < count; k += 32) {  // short sums of short sums lose little to rounding
      V sum[Vectors] = {};
      for (int64_t row = k, end = std::min(k + 32, count); row < end; ++row)
        for (int v = 0; v < Vectors; ++v) sum[v] += load<V>(da + row * ld_da + v * L);
      for (int v = 0; v < Vectors; ++v) chunk_sum[v] += sum[v];
    }
    for (int v = 0; v < Vectors; ++v) store<V>(sums + v * L, load<V>(sums + v * L) + chunk_sum[v]);
  }

  // The p-th panel of W by columns.
  void pack_x(T* panel, int64_t p) const {
    pack_columns(operands, panel, N, q.W, q.I, q.I, Cell::x_order, Cell::x_rows, q.H, shape.padded, p * N);
  }

  // dx = da W, the chunk's rows distributed over threads; da as operands.
  void sum_x(const ThreadSlice& slice, const T* da, int64_t first, int64_t last, int64_t count) {
    const int64_t k0 = slice.me.first(count), k1 = slice.me.last(count);
    const int64_t ld = operands.count(ld_da), K = operands.count(Cell::x_rows * shape.padded);
    for (int64_t k = k0; k < k1; ++k) slice.rows[k - k0] = da + k * ld + operands.count(Cell::x_first * shape.padded);
    for (int64_t p = 0; p < in_quads; ++p) {
      const int64_t some = std::min(N, q.I - p * N);
      T* panel = one_panel ? slice.columns : x_panels + p * x_panel_size();
      if (one_panel) pack_x(panel, p);
      std::fill(slice.a, slice.a + (k1 - k0) * N, T(0));
      gemm<V>(int((some + L - 1) / L), slice.a, N, slice.a, N, k1 - k0, {slice.rows, panel, N, K}, {}, operands.terms_of_many());
      int64_t k = 0;
      for (int64_t s = first; s < last; ++s) {
        const int64_t n = steps.active(s);
        for (int64_t b = std::max(int64_t(0), k0 - k); b < n && k + b < k1; ++b)
          std::memcpy(d.dx + steps.at(s, b) * q.I + p * N, slice.a + (k + b - k0) * N, some * sizeof(T));
        k += n;
      }
    }
  }

  // out [rows * H, K] from sums [K, rows * padded]: the r-th row is block order[r] of the caller.
  void write_matrix(Member me, T* out, const T* sums, int64_t K, const int* order, int rows) const {
    const int64_t strips = (K + L - 1) / L;
    for (int64_t strip = me.first(strips); strip < me.last(strips); ++strip) {
      const int64_t k0 = strip * L;
      const int n = int(std::min<int64_t>(L, K - k0));
      for (int r = 0; r < rows; ++r) {
        const T* in[L];
        for (int k = 0; k < n; ++k) in[k] = sums + ((k0 + k) * rows + r) * shape.padded;
        transpose_strip<V>(out + order[r] * q.H * K + k0, K, in, n, q.H, false);
      }
    }
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
