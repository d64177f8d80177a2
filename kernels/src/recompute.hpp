// What the forward pass has not kept, computed once more for a chunk of steps (memory="low"). All h of the chunk are known, so nothing
// waits for the step before: R h of all its pairs is one product, in which a panel of weights is read once. The sums and the pointwise
// step are those of the forward pass, and so are the bits.
#pragma once
#include "fed_back.hpp"
#include "noise.hpp"
#include "operands.hpp"
#include "preactivations.hpp"
#include "steps.hpp"
#include "team.hpp"
#include "workspace.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class Recompute {
  using T = element<V>;
  static constexpr int L = lanes<V>;
  static constexpr int R = Cell::rows;

 public:
  // A chunk has at most chunk_rows pairs. steps and fed_back must outlive this.
  Recompute(const Sequence<T>& q, const Steps& steps, const FedBack<Cell, V>& fed_back, long chunk_rows)
      : q(q),
        shape(q.H),
        operands(q),
        panels(q, shape),
        pre(q, shape, panels, operands),
        steps(steps),
        masks(q.noise),
        fed_back(fed_back),
        chunk_rows(needed(q) ? chunk_rows : 0) {}

  static bool needed(const Sequence<T>& q) { return (Cell::kept && !q.kept && !q.gates) || (q.projection && !q.unprojected); }
  bool needed() const { return needed(q); }

  void lay_out(Layout& layout, int threads) {
    if (!needed()) return;
    panels.lay_out(layout);
    zeros = layout.take<T>(std::max(q.P, q.H));
    accumulators = layout.take<T>(threads * accumulators_each());
    pointers = layout.take<const T*>(threads * 2 * chunk_rows);
    rounded = layout.take<T>(threads * (room_x() + room_h()));
    fed = layout.take<T>(fed_back.made() ? threads * chunk_rows * fed_back.width() : 0);
    kept = layout.take<T>(chunk_rows * shape.kept_size());
    for (T*& ring : unprojected) ring = layout.take<T>(q.projection ? chunk_rows * q.H : 0);
  }

  void prepare(Member me) const {
    if (!needed()) return;
    panels.pack(me);
    me.clear(zeros, std::max(q.P, q.H));
  }

  // Where a chunk's values lie, pair after pair. Only the member that computes a value reads it, but for those before the projection,
  // which other members may still read in one chunk when the next is computed.
  T* kept_of_chunk() const { return kept; }
  T* unprojected_of_chunk(long chunk) const { return unprojected[chunk % 2]; }

  // This member's share of the steps [first, last), all rows of its share on the units of the groups [g0, g1).
  void run(Member me, const Share& share, long g0, long g1, long chunk, long first, long last) const {
    if (!needed()) return;
    const T **x = pointers + me.rank * 2 * chunk_rows, **h = x + chunk_rows;
    T *a = accumulators + me.rank * accumulators_each(), *rounded_x = rounded + me.rank * (room_x() + room_h());
    long count = 0;
    for (long s = first; s < last; ++s)
      for (long i = 0, n = share.below(steps.active(s)); i < n; ++i, ++count) {
        const long b = share.row(i);
        x[count] = q.x + steps.at(s, b) * q.I;
        const auto state = [&, origin = steps.origin(s, b)](int k) { return old_state(k, origin, s, b); };
        h[count] = fed_back.made() ? fed_back.row(fed + (me.rank * chunk_rows + count) * fed_back.width(), b, state) : state(0);
      }
    operands.round(x, count, rounded_x, q.I);
    operands.round(h, count, rounded_x + room_x(), fed_back.columns());
    for (long g = g0; g < g1; ++g) {
      pre.add_h(a, g, count, x, h, false);
      if (q.projection)
        cells<true>(share, g, a, first, last, unprojected_of_chunk(chunk));
      else
        cells<false>(share, g, a, first, last, nullptr);
    }
  }

 private:
  const Sequence<T>& q;
  const Shape<Cell, V> shape;
  const Operands<V> operands;
  Panels<Cell, V> panels;
  const Preactivations<Cell, V> pre;
  const Steps& steps;
  const Masks<Cell, V> masks;
  const FedBack<Cell, V>& fed_back;
  const long chunk_rows;
  // Scratch.
  T *zeros, *accumulators, *rounded, *fed, *kept, *unprojected[2];
  const T** pointers;

  long room_x() const { return operands.room(chunk_rows, q.I); }
  long room_h() const { return operands.room(chunk_rows, fed_back.columns()); }
  long accumulators_each() const { return chunk_rows * R * Shape<Cell, V>::blocks_in_group * L; }

  const T* old_state(int k, Origin origin, long s, long b) const {
    if (origin == Origin::before) return k ? history(k, s - 1, b) : q.y + steps.at(s - 1, b) * q.ld_y;
    const T* states = (origin == Origin::initial ? q.initial : q.restored)[k];
    return states ? states + steps.row(b) * (k ? q.H : q.P) : zeros;
  }
  const T* history(int k, long s, long b) const { return q.history[k] + (q.histories_shown ? steps.at(s, b) : steps.kept_at(s, b)) * q.H; }

  // The pointwise step on a group. Whether h is wanted is known to the compiler, and not asked pair by pair: or the states would be
  // computed in another order where they are, and products be fused with other sums.
  template <bool projected>
  void cells(const Share& share, long g, const T* a, long first, long last, T* before_projection) const {
    for (long s = first, row = 0; s < last; row += steps.active(s++))
      for (long i = 0, n = share.below(steps.active(s)); i < n; ++i, a += pre.width(g))
        cell<projected>(s, share.row(i), g, a, row + share.row(i), before_projection);
  }

  // Of row b; `row` is the pair's place in the chunk.
  template <bool projected>
  CARROUSEL_INLINE void cell(long s, long b, long g, const T* a, long row, T* before_projection) const {
    const int blocks = shape.blocks_of(g);
    const Origin origin = steps.origin(s, b);
    for (int u = 0; u < blocks; ++u) {
      const long block = shape.first_block(g) + u, unit = block * L;
      const int n = shape.lanes_of(block);
      V rows[R], old[Cell::states] = {}, now[Cell::states], weights[Cell::weights + 1], keep[Cell::kept + 1];
      V noise[Cell::masks + 1], show[Cell::shown + 1];
      for (int r = 0; r < R; ++r) rows[r] = load<V>(a + (r * blocks + u) * L);
      for (int k = projected ? 1 : 0; k < Cell::states; ++k) old[k] = load_some<V>(old_state(k, origin, s, b) + unit, n);
      for (int w = 0; w < Cell::weights; ++w) weights[w] = load<V>(panels.per_unit(w) + unit);
      if constexpr (Cell::masks > 0) masks.draw(noise, steps.t(s), steps.number(q.noise, b), unit);
      Cell::forward(rows, old, weights, noise, now, keep, show);
      T* to = kept + row * shape.kept_size() + shape.kept_at(block);
      for (int k = 0; k < Cell::kept; ++k) store<V>(to + k * long(blocks) * L, keep[k]);
      if constexpr (projected) store_some<V>(before_projection + row * q.H + unit, now[0], n);
    }
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
