// Recomputes what the forward pass has not saved, for a chunk of steps (memory="low"). All h of the chunk are known, so that no
// step waits for another: R h of all pairs is one product that reads each panel of weights once, and large weights are packed panel
// by panel for it. Sums and pointwise steps are those of the forward pass, and so are the bits.
#pragma once
#include "gemm/operands.hpp"
#include "machine/random.hpp"
#include "machine/threads.hpp"
#include "machine/workspace.hpp"
#include "sequence/backward_context.hpp"
#include "sequence/pointwise.hpp"
#include "sequence/preactivations.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class Recompute {
  using T = element<V>;
  static constexpr int L = lanes<V>;
  static constexpr int R = Cell::rows;

 public:
  using ChunkRows = typename Chunks<Cell, V>::ChunkRows;

  explicit Recompute(const BackwardContext<Cell, V>& of)
      : q(of.q),
        shape(of.shape),
        operands(of.operands),
        panels(q, shape),
        pre(q, shape, operands),
        steps(of.steps),
        states(of.states),
        masks(q.masks),
        fed_back(of.fed_back),
        chunks(of.chunks) {}

  bool needed() const { return chunks.low_memory; }

  void lay_out(Arena& arena, int threads) {
    if (!needed()) return;
    if (!one_panel) panels.lay_out(arena);
    per_unit = arena.take<T>(Cell::weights * shape.padded);
    pointers = arena.take<const T*>(threads * 2 * chunks.rows());
    rounded = arena.take<T>(threads * (capacity_x() + capacity_h()));
    fed = arena.take<T>(fed_back.made() ? threads * chunks.rows() * fed_back.width() : 0);
    unprojected = arena.take<T>(q.projection ? chunks.rows() * q.H : 0);
  }

  void prepare(Member me) const {
    if (!needed()) return;
    if (!one_panel) panels.pack(me);
    if (me.rank == 0 && Cell::weights) pack_rows(per_unit, q.per_unit, Cell::weights, q.H, shape.padded);
  }

  // h before the projection, pair after pair of a chunk.
  T* unprojected_of_chunk() const { return needed() && q.projection ? unprojected : nullptr; }

  // Elements of scratch that run() needs for each member.
  int64_t capacity() const { return needed() ? accumulators_each() + (one_panel ? panels.group_capacity() : 0) : 0; }

  // Computes this member's share of a chunk, all rows of its share on the units of the groups [g0, g1), into the chunk's rows of
  // da, `all`; a [capacity()].
  void run(Member me, const Share& share, int64_t g0, int64_t g1, int64_t chunk, ChunkRows all, T* a) const {
    if (!needed()) return;
    const int64_t first = chunks.first(chunk), last = chunks.last(chunk), most_rows = chunks.rows();
    const T **x = pointers + me.rank * 2 * most_rows, **h = x + most_rows;
    T *group_panels = a + accumulators_each(), *rounded_x = rounded + me.rank * (capacity_x() + capacity_h());
    int64_t count = 0;
    for (int64_t s = first; s < last; ++s)
      for (int64_t i = 0, n = share.below(steps.active(s)); i < n; ++i, ++count) {
        const int64_t b = share.row(i);
        x[count] = q.x + steps.at(s, b) * q.I;
        const auto state = [&, origin = steps.origin(s, b)](int k) { return states.before(k, origin, s, b); };
        h[count] = fed_back.made() ? fed_back.row(fed + (me.rank * most_rows + count) * fed_back.width(), b, state) : state(0);
      }
    operands.round(x, count, rounded_x, q.I);
    operands.round(h, count, rounded_x + capacity_x(), fed_back.columns());
    for (int64_t g = g0; g < g1; ++g) {
      pre.add_h(a, g, one_panel ? panels.pack_one(group_panels, g) : panels.of(g), count, x, h, false);
      if (q.projection)
        cells<true>(share, g, a, first, last, all);
      else
        cells<false>(share, g, a, first, last, all);
    }
  }

 private:
  const Sequence<T>& q;
  const RowBlocks<Cell, V>& shape;
  const Operands<V>& operands;
  Panels<Cell, V> panels;
  const Preactivations<Cell, V> pre;
  const Steps& steps;
  const States<T>& states;
  const CellMasks<Cell, V> masks;
  const FedBack<Cell, V>& fed_back;
  const Chunks<Cell, V>& chunks;
  const bool one_panel = double(Cell::x_rows * q.I + Cell::h_rows * columns_of_R<Cell>(q)) * shape.padded * sizeof(T) > low_memory_bytes;
  // Scratch.
  T *per_unit, *rounded, *fed, *unprojected;
  const T** pointers;

  int64_t capacity_x() const { return operands.capacity(chunks.rows(), q.I); }
  int64_t capacity_h() const { return operands.capacity(chunks.rows(), fed_back.columns()); }
  int64_t accumulators_each() const { return chunks.rows() * R * RowBlocks<Cell, V>::blocks_in_group * L; }

  // The pointwise step on a group. Whether h is stored is known at compile time: tested pair by pair, the compiler computed the
  // states in another order and fused other products with sums, which changed bits.
  template <bool projected>
  void cells(const Share& share, int64_t g, const T* a, int64_t first, int64_t last, ChunkRows here) const {
    for (int64_t s = first; s < last; here = chunks.shift(here, steps.active(s++)))
      for (int64_t i = 0, n = share.below(steps.active(s)); i < n; ++i, a += pre.width(g)) cell<projected>(s, share.row(i), g, a, here);
  }

  // Of row b.
  template <bool projected>
  CARROUSEL_INLINE void cell(int64_t s, int64_t b, int64_t g, const T* a, ChunkRows here) const {
    const int blocks = shape.blocks_of(g);
    const Origin origin = steps.origin(s, b);
    for (int u = 0; u < blocks; ++u) {
      const int64_t block = shape.first_block(g) + u, unit = block * L;
      const int n = shape.lanes_of(block);
      Pointwise<Cell, V> step;
      step.load_rows(a + u * L, blocks * L);
      for (int k = projected ? 1 : 0; k < Cell::states; ++k) step.old[k] = load_n<V>(states.before(k, origin, s, b) + unit, n);
      step.load_weights(per_unit + unit, shape.padded);
      if constexpr (Cell::masks > 0) masks.sample(step.mask, steps.t(s), steps.number(q.masks, b), unit);
      step.run();
      for (int k = 0; k < Cell::saved && !q.gates; ++k) store<V>(here.da + b * chunks.ld_da + k * shape.padded + unit, step.save[k]);
      if constexpr (projected) store_n<V>(here.unprojected + b * q.H + unit, step.now[0], n);
    }
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
