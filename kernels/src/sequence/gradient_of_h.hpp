// dh of a step: the gradients that reach h from outside, from da of the step after through R, and, if h is projected, through the
// projection. Also what reaches further states through R, if a cell feeds them back.
#pragma once
#include "sequence/backward_context.hpp"
#include "sequence/cell_backward.hpp"

namespace carrousel::CARROUSEL_TARGET {

// The gradient of h of a row without what comes through R. to [vectors * lanes] = dy + d_final + reached, from a column on: dy and
// d_final [width]; reached [whole vectors], the gradient that the unit itself passes from the step after. Each may be null.
template <class V>
CARROUSEL_INLINE void gather_row(element<V>* to, const element<V>* dy, const element<V>* d_final, const element<V>* reached, int64_t column,
                                 int vectors, int64_t width) {
  constexpr int L = lanes<V>;
  for (int v = 0; v < vectors; ++v) {
    const int64_t at = column + v * L;
    const int n = int(width - at < L ? width - at : L);
    V sum = dy ? load_n<V>(dy + at, n) : V{};
    if (d_final) sum += load_n<V>(d_final + at, n);
    if (reached) sum += load<V>(reached + at);
    store<V>(to + v * L, sum);
  }
}

template <class Cell, class V>
class GradientOfH {
  using T = element<V>;
  static constexpr int L = lanes<V>;
  static constexpr int64_t N = max_vectors * L;  // columns of a full panel

  const Sequence<T>& q;
  const Gradients<T>& d;
  const RowBlocks<Cell, V>& shape;
  const Operands<V>& operands;
  const Steps& steps;
  const WorkSplit& split;
  const FedBack<Cell, V>& fed_back;
  const Chunks<Cell, V>& chunks;
  const CellBackward<Cell, V>& cell_backward;

 public:
  using ChunkRows = typename Chunks<Cell, V>::ChunkRows;
  const int64_t quads = (shape.padded + N - 1) / N, out_quads = (q.P + N - 1) / N;  // panels of the units; of P

  // cell_backward must outlive this.
  GradientOfH(const BackwardContext<Cell, V>& of, const CellBackward<Cell, V>& cell_backward)
      : q(of.q),
        d(of.d),
        shape(of.shape),
        operands(of.operands),
        steps(of.steps),
        split(of.split),
        fed_back(of.fed_back),
        chunks(of.chunks),
        cell_backward(cell_backward) {}

  void lay_out(Arena& arena) {
    const int64_t B = q.rows.B;
    zeros = arena.take<T>(Cell::h_rows * shape.padded);
    h_panels = arena.take<T>(first_panel(Cell::fed) * h_panel_size());
    projection_panels = arena.take<T>(projected() ? quads * N * operands.count(q.P) : 0);
    rounded = arena.take<T>(projected() ? split.threads * operands.capacity(B, q.P) : 0);
    accumulators = arena.take<T>(split.threads * B * N);
    reached = arena.take<T>(split.threads * fed_back.rows() * N);
    pointers = arena.take<const T*>(split.threads * B);
    restored = arena.take<int64_t>(q.rows.resets ? split.threads * B : 0);
  }

  void prepare(Member me) const {
    me.clear(zeros, Cell::h_rows * shape.padded);
    for (int j = 0; j < Cell::fed; ++j)
      for (int64_t p = me.first(quads_of(j)), c0 = fed_back.column_of(j); p < me.last(quads_of(j)); ++p)
        pack_columns(operands, h_panels + (first_panel(j) + p) * h_panel_size(), N, q.R, fed_back.columns(), c0 + width_of(j),
                     Cell::h_order, Cell::h_rows, q.H, shape.padded, c0 + p * N);
    static constexpr int only[] = {0};
    for (int64_t p = me.first(quads); projected() && p < me.last(quads); ++p)
      pack_columns(operands, projection_panels + p * N * operands.count(q.P), N, q.projection, q.H, q.H, only, 1, q.P, q.P, p * N);
  }

  struct ThreadSlice {  // what one thread computes
    Member me;
    Share share;
    int64_t quad_first, quad_last;  // of the units
    T* a;                           // [B, N]
    const T** rows;                 // [B]
    int64_t* restored;              // [B]
    T* rounded;                     // dp of a step
    T* reached;                     // [B, N]
  };

  ThreadSlice slice_of(Member me) const {
    const int64_t B = q.rows.B;
    return {.me = me,
            .share = split.share(me, q.rows),
            .quad_first = split.by_units ? me.first(quads) : 0,
            .quad_last = split.by_units ? me.last(quads) : quads,
            .a = accumulators + me.rank * B * N,
            .rows = pointers + me.rank * B,
            .restored = restored + me.rank * B,
            .rounded = rounded + me.rank * operands.capacity(B, q.P),
            .reached = reached + me.rank * fed_back.rows() * N};
  }

  // Call before the first panel of step s.
  void begin(const ThreadSlice& slice, int64_t s, ChunkRows here, ChunkRows after, int64_t count) const {
    restore(slice, s + 1, after);
    reach_further_states(slice, s + 1, after);
    if (steps.active(s + 1) > steps.active(s)) finish_rows(slice, s + 1, after, steps.active(s), steps.active(s + 1));
    if (!projected()) return;
    unproject(slice, s, here, after, count);
    for (int64_t i = 0; i < count; ++i) slice.rows[i] = here.dp + slice.share.row(i) * q.P;
    operands.round(slice.rows, count, slice.rounded, q.P);
  }

  // slice.a [count, N] = dh, for the p-th panel of units.
  CARROUSEL_INLINE void gather(const ThreadSlice& slice, int64_t s, ChunkRows after, int64_t p, int64_t count) const {
    if (projected())
      project_back(slice, p, count);
    else
      gather_dh(slice, s, after, p, count);
  }

  // The gradients of the states before the first step, whose da are at `here`.
  void finish(const ThreadSlice& slice, ChunkRows here) const {
    restore(slice, 0, here);
    reach_further_states(slice, 0, here);
    finish_rows(slice, 0, here, 0, steps.active(0));
  }

 private:
  // Scratch.
  T* zeros;
  T *h_panels, *projection_panels;  // R and P by columns; R has panels for one fed-back state after another
  T *rounded, *accumulators, *reached;
  const T** pointers;
  int64_t* restored;

  bool projected() const { return q.projection != nullptr; }

  // Vectors that the p-th panel of `columns` columns has.
  int vectors_of(int64_t columns, int64_t p) const { return int((std::min(N, columns - p * N) + L - 1) / L); }
  Factor<T> h_factor(const T* const* rows, int64_t p) const {
    return {rows, h_panels + p * h_panel_size(), N, operands.count(Cell::h_rows * shape.padded)};
  }
  int64_t h_panel_size() const { return N * operands.count(Cell::h_rows * shape.padded); }

  // Of the j-th state that R multiplies, h or a further one: its width, and its panels of R.
  int64_t width_of(int j) const { return j ? q.H : q.P; }
  int64_t quads_of(int j) const { return j ? quads : out_quads; }
  int64_t first_panel(int j) const { return j ? out_quads + (j - 1) * quads : 0; }

  // The part of row b's da that goes through R, as an operand.
  const T* through_R(ChunkRows here, int64_t b) const {
    if (operands.rounded()) return here.rounded + b * chunks.ld_rounded + Cell::h_first * shape.padded / 2;
    return here.da + b * chunks.ld_da + Cell::h_first * shape.padded;
  }

  // The row of da at step s that reaches the step before: zeros if the states were restored in between.
  const T* reaching(int64_t s, int64_t b, ChunkRows here) const { return steps.restarts(s, b) ? zeros : through_R(here, b); }

  // slice.a [count, N] += the gradient of the j-th state through R, for the p-th panel of its columns. The i-th row of da in
  // slice.rows belongs to row row_of(i).
  template <class RowOf>
  void add_through_R(const ThreadSlice& slice, int j, int64_t p, int64_t count, RowOf row_of) const {
    const int vectors = vectors_of(width_of(j), p);
    const Factor<T> by_R = h_factor(slice.rows, first_panel(j) + p);
    if (j || !fed_back.masked()) return gemm<V>(vectors, slice.a, N, slice.a, N, count, by_R, {}, operands.terms());
    std::fill(slice.reached, slice.reached + count * N, T(0));
    gemm<V>(vectors, slice.reached, N, slice.reached, N, count, by_R, {}, operands.terms());
    for (int64_t i = 0; i < count; ++i) fed_back.add_times(slice.a + i * N, slice.reached + i * N, row_of(i), p * N, vectors * L);
  }

  // The gradient of h at step s from outside and from the step after: slice.a [count, N] for the columns [p * N, ...) of P.
  void gather_dh(const ThreadSlice& slice, int64_t s, ChunkRows after, int64_t p, int64_t count) const {
    const int vectors = vectors_of(q.P, p);
    const int64_t continuing = slice.share.below(std::min(steps.active(s), steps.active(s + 1)));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t b = slice.share.row(i);
      const bool goes_on = i < continuing;
      const T* dy = d.dy ? d.dy + steps.at(s, b) * d.ld_dy : nullptr;
      const T* d_final = !goes_on && d.d_final[0] ? d.d_final[0] + steps.row(b) * q.P : nullptr;
      gather_row<V>(slice.a + i * N, dy, d_final, goes_on && !projected() ? cell_backward.reached(0, b) : nullptr, p * N, vectors, q.P);
      if (goes_on) slice.rows[i] = reaching(s + 1, b, after);
    }
    if (continuing) add_through_R(slice, 0, p, continuing, [&](int64_t i) { return slice.share.row(i); });
  }

  // Projected cells: dh [P] of every row first, since all of it reaches each unit.
  void unproject(const ThreadSlice& slice, int64_t s, ChunkRows here, ChunkRows after, int64_t count) const {
    const int64_t first = split.by_units ? slice.me.first(out_quads) : 0, last = split.by_units ? slice.me.last(out_quads) : out_quads;
    for (int64_t p = first; p < last; ++p) {
      gather_dh(slice, s, after, p, count);
      for (int64_t i = 0; i < count; ++i)
        std::memcpy(here.dp + slice.share.row(i) * q.P + p * N, slice.a + i * N, std::min(N, q.P - p * N) * sizeof(T));
    }
    if (split.by_units) slice.me.barrier();
  }

  // slice.a [count, N] = dp P, with the rows of dp in slice.rows.
  void project_back(const ThreadSlice& slice, int64_t p, int64_t count) const {
    std::fill(slice.a, slice.a + count * N, T(0));
    const int64_t K = operands.count(q.P);
    gemm<V>(vectors_of(q.H, p), slice.a, N, slice.a, N, count, {slice.rows, projection_panels + p * N * K, N, K}, {},
            operands.terms_of_many());
  }

  // dh before their first step, for the rows [b0, b1) that all started with step s, whose da are at `here`.
  void finish_rows(const ThreadSlice& slice, int64_t s, ChunkRows here, int64_t b0, int64_t b1) const {
    if (!d.d_initial[0] || !steps.count()) return;
    const int64_t from = slice.share.below(b0), count = slice.share.below(b1) - from;
    const int64_t first = split.by_units ? slice.me.first(out_quads) : 0, last = split.by_units ? slice.me.last(out_quads) : out_quads;
    for (int64_t p = first; p < last; ++p) {
      const int64_t width = std::min(N, q.P - p * N);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t b = slice.share.row(from + i);
        slice.rows[i] = reaching(s, b, here);
        std::fill(slice.a + i * N, slice.a + (i + 1) * N, T(0));
        if (!projected()) std::memcpy(slice.a + i * N, cell_backward.reached(0, b) + p * N, width * sizeof(T));
      }
      add_through_R(slice, 0, p, count, [&](int64_t i) { return slice.share.row(from + i); });
      for (int64_t i = 0; i < count; ++i)
        std::memcpy(d.d_initial[0] + steps.row(slice.share.row(from + i)) * q.P + p * N, slice.a + i * N, width * sizeof(T));
    }
  }

  // Adds the gradients that reach the further states through R of step s to those of the step itself.
  void reach_further_states(const ThreadSlice& slice, int64_t s, ChunkRows here) const {
    const int64_t count = slice.share.below(steps.active(s));
    for (int j = 1; j < Cell::fed; ++j)
      for (int64_t p = slice.quad_first; p < slice.quad_last; ++p) {
        const size_t bytes = vectors_of(q.H, p) * L * sizeof(T);
        const auto reached = [&](int64_t i) { return cell_backward.reached(Cell::fed_states[j], slice.share.row(i)) + p * N; };
        for (int64_t i = 0; i < count; ++i) {
          slice.rows[i] = reaching(s, slice.share.row(i), here);
          std::memcpy(slice.a + i * N, reached(i), bytes);
        }
        add_through_R(slice, j, p, count, [&](int64_t i) { return slice.share.row(i); });
        for (int64_t i = 0; i < count; ++i) std::memcpy(reached(i), slice.a + i * N, bytes);
      }
  }

  // The gradients of the restored states through R at step s, for each row that was restored there.
  void restore(const ThreadSlice& slice, int64_t s, ChunkRows here) const {
    if (!q.rows.resets || s >= steps.count()) return;
    int64_t count = 0;
    for (int64_t i = 0, n = slice.share.below(steps.active(s)); i < n; ++i)
      if (steps.restarts(s, slice.share.row(i))) slice.restored[count++] = slice.share.row(i);
    if (!count) return;
    for (int64_t i = 0; i < count; ++i) slice.rows[i] = through_R(here, slice.restored[i]);
    for (int j = 0; j < Cell::fed; ++j)
      if (T* sums = d.d_restored[Cell::fed_states[j]]) restore(slice, j, count, sums);
  }
  void restore(const ThreadSlice& slice, int j, int64_t count, T* sums) const {
    const int64_t all = quads_of(j), first = split.by_units ? slice.me.first(all) : 0, last = split.by_units ? slice.me.last(all) : all;
    for (int64_t p = first; p < last; ++p) {
      std::fill(slice.a, slice.a + count * N, T(0));
      add_through_R(slice, j, p, count, [&](int64_t i) { return slice.restored[i]; });
      for (int64_t i = 0; i < count; ++i) {
        T* sum = sums + steps.row(slice.restored[i]) * width_of(j) + p * N;
        for (int64_t c = 0, some = std::min(N, width_of(j) - p * N); c < some; ++c) sum[c] += slice.a[i * N + c];
      }
    }
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
