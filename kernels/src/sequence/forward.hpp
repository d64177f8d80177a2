// Forward over a whole sequence.
//
//   for each step:  a = W x + R h + b         rows times panels, group by group
//                   states = cell(a, states)  on vectors of units, while the group's a are in the first-level cache
//
// A narrow W x is multiplied inside the step, because writing and reading it would cost more than computing it. A wide one is computed
// for several steps at once, so that W is read once for all of them. Both add the same terms in the same order.
//
// Threads split the batch and never wait for each other; or, where the weights outgrow a core's cache and the batch is small, they
// split the units, with a barrier at each step. Either way an output is computed by the same operations in the same order: same bits.
#pragma once
#include "gemm/panels.hpp"
#include "machine/random.hpp"
#include "machine/threads.hpp"
#include "machine/workspace.hpp"
#include "sequence/fed_back.hpp"
#include "sequence/one_row.hpp"
#include "sequence/outputs.hpp"
#include "sequence/pointwise.hpp"
#include "sequence/preactivations.hpp"
#include "sequence/time.hpp"
#include "sequence/work_split.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class Forward {
  using T = element<V>;
  static constexpr int L = lanes<V>;
  static constexpr int R = Cell::rows;

 public:
  explicit Forward(const Sequence<T>& q)
      : q(q),
        shape(q.H),
        operands(q),
        panels(q, shape),
        pre(q, shape, operands),
        steps(q.rows),
        states(q, steps),
        split(choose_split<Cell>(q)),
        masks(q.masks),
        fed_back(q, steps) {}

  void run() {
    Workspace scratch([this](Arena& arena) { lay_out(arena); });
    steps.locate(places);
    prefer_large_pages_of_outputs<Cell>(q, shape.saved_size());
    states.prepare({});
    run_on_threads(split.threads, [this](Member me) { work(me); });
  }

 private:
  const Sequence<T>& q;
  const RowBlocks<Cell, V> shape;
  const Operands<V> operands;
  Panels<Cell, V> panels;
  const Preactivations<Cell, V> pre;
  Steps steps;
  States<T> states;
  const WorkSplit split;
  const CellMasks<Cell, V> masks;
  FedBack<Cell, V> fed_back;
  // The addresses that a step reads and writes for one row, looked up once for all of its units.
  struct StepRow {
    int64_t s, b, at;
    const T* old[Cell::states];
    T *h, *saved, *final[Cell::states], *history[Cell::states];  // all but h may be null: not written
  };

  // Scratch. All threads pack the panels together; `accumulators`, `fed` and the pointers have one piece per thread.
  int64_t* places;
  T *accumulators, *unprojected, *rounded, *fed;
  const T** pointers;
  StepRow* step_rows;
  int64_t accumulators_each, projected_at, pointers_each, rounded_each;

  void lay_out(Arena& arena) {
    places = arena.take<int64_t>(steps.scratch());
    states.lay_out(arena);
    panels.lay_out(arena);
    fed_back.lay_out(arena);
    fed = arena.take<T>(split.threads * fed_back.rows() * fed_back.width());
    unprojected = arena.take<T>(q.projection && !q.unprojected ? q.rows.B * q.H : 0);
    const int64_t steps_at_once = split.steps_at_once;
    pointers_each = q.rows.B * (steps_at_once + 1);
    pointers = arena.take<const T*>(split.threads * pointers_each);
    step_rows = arena.take<StepRow>(split.threads * q.rows.B);
    accumulators_each = q.rows.B * steps_at_once * R * (steps_at_once > 1 ? shape.padded : RowBlocks<Cell, V>::blocks_in_group * L);
    projected_at = accumulators_each;  // behind the W x of several steps
    accumulators_each += q.projection ? q.rows.B * panels.projection_width : 0;
    accumulators = arena.take<T>(split.threads * accumulators_each);
    rounded_each =
        operands.capacity(q.rows.B * steps_at_once, q.I) + operands.capacity(q.rows.B, std::max<int64_t>(fed_back.columns(), q.H));
    rounded = arena.take<T>(split.threads * rounded_each);
  }

  struct ThreadSlice {  // what one thread computes
    Member me;
    Share share;
    int64_t group_first, group_last;
    T* a;                // accumulators
    StepRow* step_rows;  // of a step
    const T** rows;      // pointers
    T *x, *h;            // x and h rounded
    T* fed;              // [B, fed_back.width()]
  };

  void work(Member me) {
    panels.pack(me);
    fed_back.prepare(me);
    write_without_steps<Cell>(me, q, steps, states);
    me.barrier();
    if constexpr (OneRow<Cell, V>::fits)
      if (split.threads == 1 && OneRow<Cell, V>::applies_to(q))
        return OneRow<Cell, V>(q, panels, shape, masks, fed_back, states.zeros(), fed).run();
    ThreadSlice slice{.me = me,
                      .share = split.share(me, q.rows),
                      .group_first = 0,
                      .group_last = shape.groups,
                      .a = accumulators + me.rank * accumulators_each,
                      .step_rows = step_rows + me.rank * q.rows.B,
                      .rows = pointers + me.rank * pointers_each,
                      .x = rounded + me.rank * rounded_each,
                      .h = rounded + me.rank * rounded_each + operands.capacity(q.rows.B * split.steps_at_once, q.I),
                      .fed = fed + me.rank * fed_back.rows() * fed_back.width()};
    if (split.by_units) {
      slice.group_first = me.first(shape.groups);
      slice.group_last = me.last(shape.groups);
    }
    for (int64_t s = 0; s < steps.count(); s += split.steps_at_once) {
      const int64_t last = std::min(s + split.steps_at_once, steps.count());
      if (split.steps_at_once > 1) multiply_x(slice, s, last);
      int64_t before = 0;  // rows of this chunk's steps that are done
      for (int64_t now = s; now < last; ++now) before += step(slice, now, before);
    }
  }

  const T* x_row(int64_t s, int64_t b) const { return q.x + steps.at(s, b) * q.I; }

  // Wide inputs: b + W x for all rows of the steps [s, last), group by group.
  void multiply_x(const ThreadSlice& slice, int64_t s, int64_t last) {
    int64_t count = 0;
    for (int64_t now = s; now < last; ++now)
      for (int64_t i = 0, n = slice.share.below(steps.active(now)); i < n; ++i) slice.rows[count++] = x_row(now, slice.share.row(i));
    operands.round(slice.rows, count, slice.x, q.I);
    for (int64_t g = slice.group_first; g < slice.group_last; ++g)
      pre.add_x(chunk_accumulators(slice, g), g, panels.of(g), count, slice.rows);
  }

  T* chunk_accumulators(const ThreadSlice& slice, int64_t g) const {
    return slice.a + shape.first_block(g) * L * R * slice.share.count * split.steps_at_once;
  }

  // One step for this thread's rows and groups; returns the number of rows.
  int64_t step(const ThreadSlice& slice, int64_t s, int64_t before) {
    const int64_t count = slice.share.below(steps.active(s));
    const T** h_rows = slice.rows + slice.share.count * split.steps_at_once;
    if (split.steps_at_once == 1)
      for (int64_t i = 0; i < count; ++i) slice.rows[i] = x_row(s, slice.share.row(i));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t b = slice.share.row(i);
      const StepRow& p = slice.step_rows[i] = find_step_row(s, b);
      h_rows[i] = fed_back.made() ? fed_back.row(slice.fed + i * fed_back.width(), b, [&p](int k) { return p.old[k]; }) : p.old[0];
    }
    // States are updated in place: wait until every thread has read those that are fed back.
    if (Cell::fed > 1 && split.by_units) slice.me.barrier();
    if (split.steps_at_once == 1) operands.round(slice.rows, count, slice.x, q.I);
    operands.round(h_rows, count, slice.h, fed_back.columns());
    for (int64_t g = slice.group_first; g < slice.group_last; ++g) {
      const int64_t width = pre.width(g);
      T* a = split.steps_at_once > 1 ? chunk_accumulators(slice, g) + before * width : slice.a;
      pre.add_h(a, g, panels.of(g), count, slice.rows, h_rows, split.steps_at_once > 1);
      for (int64_t i = 0; i < count; ++i) cell(slice.step_rows[i], g, a + i * width);
    }
    if (q.projection) project(slice, s, count);
    if (split.by_units) slice.me.barrier();
    return count;
  }

  // The addresses of row b at step s.
  StepRow find_step_row(int64_t s, int64_t b) const {
    StepRow p;
    const int64_t saved_at = steps.saved_at(s, b), row = steps.row(b);
    const Origin origin = steps.origin(s, b);
    p.at = steps.at(s, b);
    p.s = s;
    p.b = b;
    p.h = q.projection ? unprojected_row(saved_at, b) : q.y + p.at * q.ld_y;
    p.saved = q.saved ? q.saved + saved_at * shape.saved_size() : nullptr;
    for (int k = 0; k < Cell::states; ++k) {
      p.old[k] = states.on_the_way(k, origin, s, b);
      p.final[k] = k || (steps.ends(s, b) && !q.projection) ? q.final[k] + row * q.H : nullptr;
      p.history[k] = k && q.history[k] ? q.history[k] + (q.histories_shown ? p.at : saved_at) * q.H : nullptr;
    }
    return p;
  }

  // The pointwise step of a row on all units of a group.
  CARROUSEL_INLINE void cell(const StepRow& p, int64_t g, const T* a) {
    const int blocks = shape.blocks_of(g);
    for (int u = 0; u < blocks; ++u) {
      const int64_t block = shape.first_block(g) + u, unit = block * L;
      const int n = shape.lanes_of(block);
      Pointwise<Cell, V> step;
      step.load_rows(a + u * L, blocks * L);
      for (int k = 0; k < Cell::states; ++k) {
        if (k == 0 && q.projection) continue;  // such a cell does not read h in the step: its width is P
        step.old[k] = load_n<V>(p.old[k] + unit, n);
      }
      step.load_weights(panels.per_unit(0) + unit, shape.padded);
      if constexpr (Cell::masks > 0) masks.sample(step.mask, steps.t(p.s), steps.number(q.masks, p.b), unit);
      step.run();
      store_n<V>(p.h + unit, step.now[0], n);
      for (int k = 0; k < Cell::states; ++k) {
        if (p.final[k]) store_n<V>(p.final[k] + unit, step.now[k], n);
        if (p.history[k]) store_n<V>(p.history[k] + unit, step.now[k], n);
      }
      if (q.gates) {
        for (int k = 0; k < Cell::shown; ++k) store_n<V>(q.gates[k] + p.at * q.H + unit, step.show[k], n);
      } else if (p.saved) {
        T* saved = p.saved + shape.saved_at(block);
        for (int k = 0; k < Cell::saved; ++k) store<V>(saved + k * int64_t(blocks) * L, step.save[k]);
      }
    }
  }

  T* unprojected_row(int64_t saved_at, int64_t b) const { return q.unprojected ? q.unprojected + saved_at * q.H : unprojected + b * q.H; }

  // h = P h_full, which needs all units of a row.
  void project(const ThreadSlice& slice, int64_t s, int64_t count) {
    if (split.by_units) slice.me.barrier();
    const int64_t width = panels.projection_width;
    for (int64_t i = 0; i < count; ++i) slice.rows[i] = unprojected_row(steps.saved_at(s, slice.share.row(i)), slice.share.row(i));
    operands.round(slice.rows, count, slice.h, q.H);
    const int64_t all = panels.projection_count();
    const int64_t first = split.by_units ? slice.me.first(all) : 0, last = split.by_units ? slice.me.last(all) : all;
    T* projected = slice.a + projected_at;
    for (int64_t p = first; p < last; ++p) {
      std::fill(projected, projected + count * width, T(0));
      const Factor<T> factor{.rows = slice.rows,
                             .panel = panels.projection(p),
                             .ld_panel = width,
                             .K = operands.count(q.H),
                             .scales = panels.projection_scales_of(p)};
      gemm<V>(panels.projection_vectors, projected, width, projected, width, count, factor, {}, operands.terms_of_many());
      const int64_t some = std::min(width, q.P - p * width);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t b = slice.share.row(i);
        const size_t bytes = some * sizeof(T);
        std::memcpy(q.y + steps.at(s, b) * q.ld_y + p * width, projected + i * width, bytes);
        if (steps.ends(s, b)) std::memcpy(q.final[0] + steps.row(b) * q.P + p * width, projected + i * width, bytes);
      }
    }
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
