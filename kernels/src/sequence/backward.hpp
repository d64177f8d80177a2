// Backward over a whole sequence (backpropagation through time, exact).
//
//   for each step, last to first:  dh = dy + da R        da of the step after; likewise for each state that is fed back
//                                  da, ds = derivative of the cell's step (dh, ds)
//   for each chunk of steps:       dx = da W;  dW += da' x;  dR += da' h;  db += sum of da
//
// Where the forward pass has saved only the states, each chunk first recomputes the rest (recompute.hpp).
//
// da is never stored for the whole sequence: a chunk of it is turned into weight gradients (weight_gradients.hpp) while it is still in
// the cache. da is the largest array of the pass; this saves writing it once and reading it twice.
#pragma once
#include "sequence/gradient_of_h.hpp"
#include "sequence/outputs.hpp"
#include "sequence/recompute.hpp"
#include "sequence/states.hpp"
#include "sequence/weight_gradients.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class Backward : BackwardContext<Cell, V> {
  using T = element<V>;
  static constexpr int L = lanes<V>;
  static constexpr int R = Cell::rows;
  using ChunkRows = typename Chunks<Cell, V>::ChunkRows;
  using ThreadSlice = typename GradientOfH<Cell, V>::ThreadSlice;

 public:
  Backward(const Sequence<T>& q, const Gradients<T>& d)
      : BackwardContext<Cell, V>(q, d),
        cell_backward(*this),
        of_h(*this, cell_backward),
        weight_gradients(q, d, steps, states, fed_back, chunks.ld_da, chunks.rows(), chunks.low_memory),
        recompute(*this) {}

  void run() {
    Workspace scratch([this](Arena& arena) { lay_out(arena); });
    steps.locate(places);
    chunks.cut();
    run_on_threads(split.threads, [this](Member me) { work(me); });
  }

 private:
  using Context = BackwardContext<Cell, V>;
  using Context::q, Context::d, Context::shape, Context::operands, Context::steps, Context::split, Context::fed_back, Context::states,
      Context::chunks;
  CellBackward<Cell, V> cell_backward;
  GradientOfH<Cell, V> of_h;
  WeightGradients<Cell, V> weight_gradients;
  Recompute<Cell, V> recompute;
  int64_t* places;               // scratch of steps
  char *of_steps, *after_steps;  // scratch between them is not needed after the last step

  void lay_out(Arena& arena) {
    places = arena.take<int64_t>(steps.scratch());
    states.lay_out(arena);
    cell_backward.lay_out(arena);
    fed_back.lay_out(arena);
    of_steps = arena.take<char>(0);
    chunks.lay_out(arena);
    of_h.lay_out(arena);
    recompute.lay_out(arena, split.threads);
    after_steps = arena.take<char>(0);
    weight_gradients.lay_out(arena, split.threads, recompute.capacity());
  }

  void work(Member me) {
    states.prepare(me);
    fed_back.prepare(me);
    cell_backward.prepare(me);
    of_h.prepare(me);
    weight_gradients.prepare(me);
    recompute.prepare(me);
    me.barrier();
    const ThreadSlice slice = of_h.slice_of(me);
    ChunkRows after{};
    for (int64_t c = chunks.count() - 1; c >= 0; --c) {
      after = step_chunk(slice, c, after);
      me.barrier();
      // This half of the ring has been read. Every thread has passed the barrier, so the next steps may overwrite the other half. (With
      // memory="low" there is only one half.)
      const ChunkRows all = first_rows(c);
      after = chunks.set_aside(me, after, steps.active(chunks.first(c)));
      weight_gradients.add(me, all.da, all.rounded, all.dp, all.unprojected, chunks.first(c), chunks.last(c));
      if (chunks.low_memory) me.barrier();
    }
    of_h.finish(slice, after);
    me.barrier();
    if (chunks.low_memory) {  // the gradients may take this memory now
      if (me.rank == 0) release_pages(of_steps, after_steps);
      me.barrier();
    }
    weight_gradients.write(me);
    cell_backward.write(me);
    put_padding(me, q.rows, d.dx, q.I, q.I, T(0));
  }

  // All steps of a chunk; `after` is da of the step after the chunk. Returns da of the chunk's first step.
  ChunkRows step_chunk(const ThreadSlice& slice, int64_t chunk, ChunkRows after) {
    static constexpr int64_t groups_in_quad = max_vectors / RowBlocks<Cell, V>::blocks_in_group;
    const int64_t first = chunks.first(chunk), last = chunks.last(chunk);
    ChunkRows here = first_rows(chunk);
    recompute.run(slice.me, slice.share, slice.quad_first * groups_in_quad, std::min(slice.quad_last * groups_in_quad, shape.groups), chunk,
                  here, weight_gradients.lent(slice.me));
    for (int64_t s = first; s < last; ++s) here = chunks.shift(here, steps.active(s));
    for (int64_t s = last - 1; s >= first; --s) {
      here = chunks.shift(here, -steps.active(s));
      step(slice, s, here, after);
      after = here;
    }
    return after;
  }

  ChunkRows first_rows(int64_t chunk) const {
    ChunkRows at = chunks.first_rows(chunk);
    at.unprojected = recompute.unprojected_of_chunk();
    return at;
  }

  void step(const ThreadSlice& slice, int64_t s, ChunkRows here, ChunkRows after) {
    const int64_t count = slice.share.below(steps.active(s));
    of_h.begin(slice, s, here, after, count);
    for (int64_t p = slice.quad_first; p < slice.quad_last; ++p) {
      of_h.gather(slice, s, after, p, count);
      const int64_t first = p * max_vectors, last = std::min(first + max_vectors, shape.blocks);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t b = slice.share.row(i);
        const typename CellBackward<Cell, V>::StepRow step_row = cell_backward.find_step_row(s, b, here);
        for (int64_t block = first; block < last; ++block)
          cell_backward.step(step_row, block, load<V>(slice.a + (i * max_vectors + block - first) * L));
        round_da(here, b, first * L, last * L);
      }
    }
    if (split.by_units) slice.me.barrier();
  }

  // Rounds da of row b to an operand: the units [first, last), which are whole vectors.
  CARROUSEL_INLINE void round_da(ChunkRows here, int64_t b, int64_t first, int64_t last) const {
    if (!operands.rounded()) return;
    for (int r = 0; r < R; ++r) {
      const T* row = here.da + b * chunks.ld_da + r * shape.padded + first;
      operands.round(&row, 1, here.rounded + b * chunks.ld_rounded + (r * shape.padded + first) / 2, last - first);
    }
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
