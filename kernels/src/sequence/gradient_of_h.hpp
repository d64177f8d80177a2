// dh of a step: what reaches h from outside, from da of the step after through R, and, where h is projected, through the projection. And
// what reaches further states through R, where a cell feeds them back.
#pragma once
#include "sequence/cell_backward.hpp"
#include "sequence/fed_back.hpp"
#include "sequence/gather.hpp"
#include "sequence/work_split.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class GradientOfH {
  using T = element<V>;
  static constexpr int L = lanes<V>;
  static constexpr long N = max_vectors * L;  // columns of a full panel

  const Sequence<T>& q;
  const Gradients<T>& d;
  const Shape<Cell, V>& shape;
  const Operands<V>& operands;
  const Steps& steps;
  const Split& split;
  const FedBack<Cell, V>& fed_back;
  const Chunks<Cell, V>& chunks;
  const Derivative<Cell, V>& derivative;

 public:
  using Place = typename Chunks<Cell, V>::Place;
  const long quads = (shape.padded + N - 1) / N, out_quads = (q.P + N - 1) / N;  // panels of the units; of P

  // All of them must outlive this.
  GradientOfH(const Sequence<T>& q, const Gradients<T>& d, const Shape<Cell, V>& shape, const Operands<V>& operands, const Steps& steps,
              const Split& split, const FedBack<Cell, V>& fed_back, const Chunks<Cell, V>& chunks, const Derivative<Cell, V>& derivative)
      : q(q),
        d(d),
        shape(shape),
        operands(operands),
        steps(steps),
        split(split),
        fed_back(fed_back),
        chunks(chunks),
        derivative(derivative) {}

  void lay_out(Layout& layout) {
    const long B = q.rows.B;
    zeros = layout.take<T>(Cell::h_rows * shape.padded);
    h_panels = layout.take<T>(first_panel(Cell::fed) * h_panel_size());
    projection_panels = layout.take<T>(projected() ? quads * N * operands.count(q.P) : 0);
    rounded = layout.take<T>(projected() ? split.threads * operands.room(B, q.P) : 0);
    accumulators = layout.take<T>(split.threads * B * N);
    reached = layout.take<T>(split.threads * fed_back.rows() * N);
    pointers = layout.take<const T*>(split.threads * B);
    restored = layout.take<int64_t>(q.rows.resets ? split.threads * B : 0);
  }

  void prepare(Member me) const {
    me.clear(zeros, Cell::h_rows * shape.padded);
    for (int j = 0; j < Cell::fed; ++j)
      for (long p = me.first(quads_of(j)), c0 = fed_back.column_of(j); p < me.last(quads_of(j)); ++p)
        pack_columns(operands, h_panels + (first_panel(j) + p) * h_panel_size(), N, q.R, fed_back.columns(), c0 + width_of(j),
                     Cell::h_order, Cell::h_rows, q.H, shape.padded, c0 + p * N);
    static constexpr int only[] = {0};
    for (long p = me.first(quads); projected() && p < me.last(quads); ++p)
      pack_columns(operands, projection_panels + p * N * operands.count(q.P), N, q.projection, q.H, q.H, only, 1, q.P, q.P, p * N);
  }

  struct Turn {  // what one thread does
    Member me;
    Share share;
    long quad_first, quad_last;  // of the units
    T* a;            // [B, N]
    const T** rows;  // [B]
    int64_t* restored;  // [B]
    T* rounded;         // dp of a step
    T* reached;         // [B, N]
  };

  Turn turn_of(Member me) const {
    const long B = q.rows.B;
    return {me,
            split.share(me, q.rows),
            split.by_units ? me.first(quads) : 0,
            split.by_units ? me.last(quads) : quads,
            accumulators + me.rank * B * N,
            pointers + me.rank * B,
            restored + me.rank * B,
            rounded + me.rank * operands.room(B, q.P),
            reached + me.rank * fed_back.rows() * N};
  }

  // Before the first panel of step s.
  void begin(const Turn& turn, long s, Place here, Place after, long count) const {
    restore(turn, s + 1, after);
    reach_further_states(turn, s + 1, after);
    if (steps.active(s + 1) > steps.active(s)) finish_rows(turn, s + 1, after, steps.active(s), steps.active(s + 1));
    if (!projected()) return;
    unproject(turn, s, here, after, count);
    for (long i = 0; i < count; ++i) turn.rows[i] = here.dp + turn.share.row(i) * q.P;
    operands.round(turn.rows, count, turn.rounded, q.P);
  }

  // turn.a [count, N] = dh, for the p-th panel of units.
  CARROUSEL_INLINE void gather(const Turn& turn, long s, Place after, long p, long count) const {
    if (projected())
      project_back(turn, p, count);
    else
      gather_dh(turn, s, after, p, count);
  }

  // What reached the states before the first step, whose da are at `here`.
  void finish(const Turn& turn, Place here) const {
    restore(turn, 0, here);
    reach_further_states(turn, 0, here);
    finish_rows(turn, 0, here, 0, steps.active(0));
  }

 private:
  // Scratch.
  T* zeros;
  T *h_panels, *projection_panels;  // R and P by columns; those of R that multiply one state after another
  T *rounded, *accumulators, *reached;
  const T** pointers;
  int64_t* restored;

  bool projected() const { return q.projection != nullptr; }

  // How many vectors the p-th panel of `columns` columns really has.
  int vectors_of(long columns, long p) const { return int((std::min(N, columns - p * N) + L - 1) / L); }
  Factor<T> h_factor(const T* const* rows, long p) const {
    return {rows, h_panels + p * h_panel_size(), N, operands.count(Cell::h_rows * shape.padded)};
  }
  long h_panel_size() const { return N * operands.count(Cell::h_rows * shape.padded); }

  // Of the j-th state that R multiplies, h or a further one: its width, and its panels of R.
  long width_of(int j) const { return j ? q.H : q.P; }
  long quads_of(int j) const { return j ? quads : out_quads; }
  long first_panel(int j) const { return j ? out_quads + (j - 1) * quads : 0; }

  // What of row b's da goes through R, as an operand.
  const T* through_R(Place here, long b) const {
    if (operands.rounded()) return here.rounded + b * chunks.ld_rounded + Cell::h_first * shape.padded / 2;
    return here.da + b * chunks.ld_da + Cell::h_first * shape.padded;
  }

  // The row of da at step s that reaches the step before: none where the states were restored in between.
  const T* reaching(long s, long b, Place here) const { return steps.restarts(s, b) ? zeros : through_R(here, b); }

  // turn.a [count, N] += what reaches the j-th state through R, for the p-th panel of its columns: the i-th row of da in turn.rows is
  // row_of(i)'s.
  template <class RowOf>
  void add_through_R(const Turn& turn, int j, long p, long count, RowOf row_of) const {
    const int vectors = vectors_of(width_of(j), p);
    const Factor<T> by_R = h_factor(turn.rows, first_panel(j) + p);
    if (j || !fed_back.masked()) return product<V>(vectors, turn.a, N, turn.a, N, count, by_R, {}, operands.terms());
    std::fill(turn.reached, turn.reached + count * N, T(0));
    product<V>(vectors, turn.reached, N, turn.reached, N, count, by_R, {}, operands.terms());
    for (long i = 0; i < count; ++i) fed_back.add_times(turn.a + i * N, turn.reached + i * N, row_of(i), p * N, vectors * L);
  }

  // What reaches h at step s from outside and from the step after: turn.a [count, N] for the columns [p * N, ...) of P.
  void gather_dh(const Turn& turn, long s, Place after, long p, long count) const {
    const int vectors = vectors_of(q.P, p);
    const long continuing = turn.share.below(std::min(steps.active(s), steps.active(s + 1)));
    for (long i = 0; i < count; ++i) {
      const long b = turn.share.row(i);
      const bool goes_on = i < continuing;
      const T* dy = d.dy ? d.dy + steps.at(s, b) * d.ld_dy : nullptr;
      const T* d_final = !goes_on && d.d_final[0] ? d.d_final[0] + steps.row(b) * q.P : nullptr;
      gather_row<V>(turn.a + i * N, dy, d_final, goes_on && !projected() ? derivative.reached(0, b) : nullptr, p * N, vectors, q.P);
      if (goes_on) turn.rows[i] = reaching(s + 1, b, after);
    }
    if (continuing) add_through_R(turn, 0, p, continuing, [&](long i) { return turn.share.row(i); });
  }

  // Projected cells: dh [P] of every row first, since all of it reaches each unit.
  void unproject(const Turn& turn, long s, Place here, Place after, long count) const {
    const long first = split.by_units ? turn.me.first(out_quads) : 0, last = split.by_units ? turn.me.last(out_quads) : out_quads;
    for (long p = first; p < last; ++p) {
      gather_dh(turn, s, after, p, count);
      for (long i = 0; i < count; ++i)
        std::memcpy(here.dp + turn.share.row(i) * q.P + p * N, turn.a + i * N, std::min(N, q.P - p * N) * sizeof(T));
    }
    if (split.by_units) turn.me.meet();
  }

  // turn.a [count, N] = dp P, the rows of dp being listed.
  void project_back(const Turn& turn, long p, long count) const {
    std::fill(turn.a, turn.a + count * N, T(0));
    const long K = operands.count(q.P);
    product<V>(vectors_of(q.H, p), turn.a, N, turn.a, N, count, {turn.rows, projection_panels + p * N * K, N, K}, {},
               operands.terms_of_many());
  }

  // dh before their first step, for the rows [b0, b1) that all started with step s, whose da are at `here`.
  void finish_rows(const Turn& turn, long s, Place here, long b0, long b1) const {
    if (!d.d_initial[0] || !steps.count()) return;
    const long from = turn.share.below(b0), count = turn.share.below(b1) - from;
    const long first = split.by_units ? turn.me.first(out_quads) : 0, last = split.by_units ? turn.me.last(out_quads) : out_quads;
    for (long p = first; p < last; ++p) {
      const long width = std::min(N, q.P - p * N);
      for (long i = 0; i < count; ++i) {
        const long b = turn.share.row(from + i);
        turn.rows[i] = reaching(s, b, here);
        std::fill(turn.a + i * N, turn.a + (i + 1) * N, T(0));
        if (!projected()) std::memcpy(turn.a + i * N, derivative.reached(0, b) + p * N, width * sizeof(T));
      }
      add_through_R(turn, 0, p, count, [&](long i) { return turn.share.row(from + i); });
      for (long i = 0; i < count; ++i)
        std::memcpy(d.d_initial[0] + steps.row(turn.share.row(from + i)) * q.P + p * N, turn.a + i * N, width * sizeof(T));
    }
  }

  // What reaches the further states that R multiplied at step s, beside h: added to what reached them in the step itself.
  void reach_further_states(const Turn& turn, long s, Place here) const {
    const long count = turn.share.below(steps.active(s));
    for (int j = 1; j < Cell::fed; ++j)
      for (long p = turn.quad_first; p < turn.quad_last; ++p) {
        const size_t bytes = vectors_of(q.H, p) * L * sizeof(T);
        const auto reached = [&](long i) { return derivative.reached(Cell::fed_states[j], turn.share.row(i)) + p * N; };
        for (long i = 0; i < count; ++i) {
          turn.rows[i] = reaching(s, turn.share.row(i), here);
          std::memcpy(turn.a + i * N, reached(i), bytes);
        }
        add_through_R(turn, j, p, count, [&](long i) { return turn.share.row(i); });
        for (long i = 0; i < count; ++i) std::memcpy(reached(i), turn.a + i * N, bytes);
      }
  }

  // What reached the restored states through R at step s, for each row where they were restored.
  void restore(const Turn& turn, long s, Place here) const {
    if (!q.rows.resets || s >= steps.count()) return;
    long count = 0;
    for (long i = 0, n = turn.share.below(steps.active(s)); i < n; ++i)
      if (steps.restarts(s, turn.share.row(i))) turn.restored[count++] = turn.share.row(i);
    if (!count) return;
    for (long i = 0; i < count; ++i) turn.rows[i] = through_R(here, turn.restored[i]);
    for (int j = 0; j < Cell::fed; ++j)
      if (T* sums = d.d_restored[Cell::fed_states[j]]) restore(turn, j, count, sums);
  }
  void restore(const Turn& turn, int j, long count, T* sums) const {
    const long all = quads_of(j), first = split.by_units ? turn.me.first(all) : 0, last = split.by_units ? turn.me.last(all) : all;
    for (long p = first; p < last; ++p) {
      std::fill(turn.a, turn.a + count * N, T(0));
      add_through_R(turn, j, p, count, [&](long i) { return turn.restored[i]; });
      for (long i = 0; i < count; ++i) {
        T* sum = sums + steps.row(turn.restored[i]) * width_of(j) + p * N;
        for (long c = 0, some = std::min(N, width_of(j) - p * N); c < some; ++c) sum[c] += turn.a[i * N + c];
      }
    }
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
