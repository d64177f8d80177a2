// Backward over a whole sequence (backpropagation through time, exact).
//
//   for each step, last to first:  dh = dy + da R        da of the step after; so for each state that is fed back
//                                  da, ds = cell's derivative (dh, ds)
//   for each chunk of steps:       dx = da W;  dW += da' x;  dR += da' h;  db += sum of da
//
// Where the forward pass has kept the states only, a chunk begins with computing the rest of it once more (recompute.hpp).
//
// da is never stored for the whole sequence: a chunk of it is turned into gradients of the weights (sums.hpp) while it is still in the
// cache, which saves writing and twice reading the largest array of the pass.
#pragma once
#include "sequence/gradient_of_h.hpp"
#include "sequence/padding.hpp"
#include "sequence/recompute.hpp"
#include "sequence/states.hpp"
#include "sequence/weight_gradients.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class Backward {
  using T = element<V>;
  static constexpr int L = lanes<V>;
  static constexpr int R = Cell::rows;
  using Place = typename Chunks<Cell, V>::Place;
  using Turn = typename GradientOfH<Cell, V>::Turn;

 public:
  Backward(const Sequence<T>& q, const Gradients<T>& d)
      : q(q),
        d(d),
        shape(q.H),
        operands(q),
        steps(q.rows),
        split(choose_split<Cell>(q)),
        fed_back(q, steps),
        states(q, steps),
        chunks(q, shape, steps, computes_again<Cell>(q)),
        derivative(q, d, shape, steps, states, chunks),
        of_h(q, d, shape, operands, steps, split, fed_back, chunks, derivative),
        sums(q, d, steps, states, fed_back, chunks.ld_da, chunks.rows(), chunks.sparing),
        recompute(q, steps, states, fed_back, chunks) {}

  void run() {
    Workspace scratch([this](Layout& layout) { lay_out(layout); });
    steps.locate(places);
    chunks.cut();
    team(split.threads, [this](Member me) { work(me); });
  }

 private:
  const Sequence<T>& q;
  const Gradients<T>& d;
  const Shape<Cell, V> shape;
  const Operands<V> operands;
  Steps steps;
  const Split split;
  FedBack<Cell, V> fed_back;
  States<T> states;
  Chunks<Cell, V> chunks;
  Derivative<Cell, V> derivative;
  GradientOfH<Cell, V> of_h;
  Sums<Cell, V> sums;
  Recompute<Cell, V> recompute;
  int64_t* places;                // scratch of steps
  char *of_steps, *after_steps;  // between them lies what is not looked at when all steps are done

  void lay_out(Layout& layout) {
    places = layout.take<int64_t>(steps.scratch());
    states.lay_out(layout);
    derivative.lay_out(layout);
    fed_back.lay_out(layout);
    of_steps = layout.take<char>(0);
    chunks.lay_out(layout);
    of_h.lay_out(layout);
    recompute.lay_out(layout, split.threads);
    after_steps = layout.take<char>(0);
    sums.lay_out(layout, split.threads, recompute.room());
  }

  void work(Member me) {
    states.prepare(me);
    fed_back.prepare(me);
    derivative.prepare(me);
    of_h.prepare(me);
    sums.prepare(me);
    recompute.prepare(me);
    me.meet();
    const Turn turn = of_h.turn_of(me);
    Place after{};
    for (long c = chunks.count() - 1; c >= 0; --c) {
      after = step_chunk(turn, c, after);
      me.meet();
      // This half of the ring is read; the next steps write the other, which all members have left before they met. There is only one
      // where memory is spared.
      const Place all = place(c);
      after = chunks.set_aside(me, after, steps.active(chunks.first(c)));
      sums.add(me, all.da, all.rounded, all.dp, all.unprojected, chunks.first(c), chunks.last(c));
      if (chunks.sparing) me.meet();
    }
    of_h.finish(turn, after);
    me.meet();
    if (chunks.sparing) {  // memory that the gradients may take now
      if (me.rank == 0) give_back(of_steps, after_steps);
      me.meet();
    }
    sums.write(me);
    derivative.write(me);
    put_padding(me, q.rows, d.dx, q.I, q.I, T(0));
  }

  // All steps of a chunk, whose next step's da are at `after`; returns where those of its first step are.
  Place step_chunk(const Turn& turn, long chunk, Place after) {
    static constexpr long groups_in_quad = max_vectors / Shape<Cell, V>::blocks_in_group;
    const long first = chunks.first(chunk), last = chunks.last(chunk);
    Place here = place(chunk);
    recompute.run(turn.me, turn.share, turn.quad_first * groups_in_quad, std::min(turn.quad_last * groups_in_quad, shape.groups), chunk,
                  here, sums.lent(turn.me));
    for (long s = first; s < last; ++s) here = chunks.moved(here, steps.active(s));
    for (long s = last - 1; s >= first; --s) {
      here = chunks.moved(here, -steps.active(s));
      step(turn, s, here, after);
      after = here;
    }
    return after;
  }

  Place place(long chunk) const {
    Place at = chunks.place(chunk);
    at.unprojected = recompute.unprojected_of_chunk();
    return at;
  }

  void step(const Turn& turn, long s, Place here, Place after) {
    const long count = turn.share.below(steps.active(s));
    of_h.begin(turn, s, here, after, count);
    for (long p = turn.quad_first; p < turn.quad_last; ++p) {
      of_h.gather(turn, s, after, p, count);
      const long first = p * max_vectors, last = std::min(first + max_vectors, shape.blocks);
      for (long i = 0; i < count; ++i) {
        const long b = turn.share.row(i);
        const typename Derivative<Cell, V>::Pair pair = derivative.pair(s, b, here);
        for (long block = first; block < last; ++block)
          derivative.step(pair, block, load<V>(turn.a + (i * max_vectors + block - first) * L));
        round_da(here, b, first * L, last * L);
      }
    }
    if (split.by_units) turn.me.meet();
  }

  // da of row b becomes an operand: the units [first, last), which are whole vectors.
  CARROUSEL_INLINE void round_da(Place here, long b, long first, long last) const {
    if (!operands.rounded()) return;
    for (int r = 0; r < R; ++r) {
      const T* row = here.da + b * chunks.ld_da + r * shape.padded + first;
      operands.round(&row, 1, here.rounded + b * chunks.ld_rounded + (r * shape.padded + first) / 2, last - first);
    }
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
