// Forward of a normalised cell over a whole sequence.
//
//   for some steps:  LN(W x) gain + b                    rows times panels, as in sequence/forward.hpp, but all units first
//   for each step:   a = that + LN(R h) gain             likewise
//                    states = cell(a, states)            in two stages, row set by row set
//
// Each stage runs on all rows of a set before the next stage: while one row waits for its sums over units, the others go on.
//
// Threads split the batch by row sets (row_sets.hpp) and never wait for each other; or, where the weights outgrow a core's cache
// and the batch is small, they split the units of the products, wait for each other, split the rows of the rest, and wait again.
#pragma once
#include "gemm/panels.hpp"
#include "layer_norm/one_row.hpp"
#include "layer_norm/row_sets.hpp"
#include "layer_norm/saved.hpp"
#include "machine/workspace.hpp"
#include "sequence/outputs.hpp"
#include "sequence/states.hpp"
#include "sequence/time.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class NormedForward {
  using T = element<V>;
  static constexpr int L = lanes<V>, R = Cell::rows, X = Cell::x_rows, H = Cell::h_rows, S = Cell::states;

 public:
  explicit NormedForward(const Sequence<T>& q)
      : q(q), shape(q.H), panels(q, shape), steps(q.rows), states(q, steps), split(choose_split<Cell>(q)), sets(q.rows), saved(q.H, q.I) {}

  void run() {
    Workspace scratch([this](Arena& arena) { lay_out(arena); });
    steps.locate(places);
    prefer_large_pages_of_outputs<Cell>(q, saved.size());
    states.prepare({});
    std::fill(zeros, zeros + zero_count, T(0));
    run_on_threads(split.threads, [this](Member me) { work(me); });
  }

 private:
  const Sequence<T>& q;
  const RowBlocks<Cell, V> shape;
  Panels<Cell, V> panels;
  Steps steps;
  States<T> states;
  const WorkSplit split;
  const RowSets sets;
  const Saved<Cell, V> saved;
  // Rows are a vector longer than needed: equal columns of many rows would map to one set of the cache.
  const int64_t ld_x = X * shape.padded + L, ld_h = H * shape.padded + L;

  // Scratch. Each member has its own part of wx and rh; if they split the units, all share one.
  int64_t* places;
  static constexpr int64_t zero_count = std::max(X, H) * L;  // the start of a product
  T *zeros, *wx, *rh;                                        // [zero_count], [sets.rows() * steps_at_once, ld_x], [sets.rows(), ld_h]
  T* stages;                                                 // one piece per thread: the values of a row set between its stages
  const T** pointers;
  const int64_t row_stages = (S + Cell::saved + 1) * shape.padded;
  int64_t pointers_each;
  // As many steps of W x as fill the tiles, whatever I is: LN(W x) does not wait for the step before, as the rest does.
  const int64_t rows_each = split.by_units ? q.rows.B : (q.rows.B + split.threads - 1) / split.threads;
  const int64_t steps_at_once = std::clamp<int64_t>(48 / std::max<int64_t>(rows_each, 1), 1, std::max<int64_t>(steps.count(), 1));

  void lay_out(Arena& arena) {
    places = arena.take<int64_t>(steps.scratch());
    states.lay_out(arena);
    zeros = arena.take<T>(zero_count);
    panels.lay_out(arena);
    wx = arena.take<T>(sets.rows() * steps_at_once * ld_x);
    rh = arena.take<T>(sets.rows() * ld_h);
    stages = arena.take<T>(split.threads * sets.each() * row_stages);
    pointers_each = q.rows.B * steps_at_once;
    pointers = arena.take<const T*>(split.threads * pointers_each);
  }

  struct ThreadSlice {  // what one thread computes
    Member me;
    ThreadSets thread_sets;
    bool by_units;
    int64_t group_first, group_last;
    T *wx, *rh, *stages;
    const T** rows;

    // The rows whose products it computes.
    int64_t count(int64_t active) const { return by_units ? active : thread_sets.below(active); }
    int64_t row(int64_t i) const { return by_units ? i : thread_sets.row(i); }
  };

  void work(Member me) {
    panels.pack(me);
    write_without_steps<Cell>(me, q, steps, states);
    me.barrier();
    const ThreadSets thread_sets(sets, me);
    const int64_t base = split.by_units ? 0 : thread_sets.base();
    const ThreadSlice slice{.me = me,
                            .thread_sets = thread_sets,
                            .by_units = split.by_units,
                            .group_first = split.by_units ? me.first(shape.groups) : 0,
                            .group_last = split.by_units ? me.last(shape.groups) : shape.groups,
                            .wx = wx + base * steps_at_once * ld_x,
                            .rh = rh + base * ld_h,
                            .stages = stages + me.rank * sets.each() * row_stages,
                            .rows = pointers + me.rank * pointers_each};
    if constexpr (NormedOneRow<Cell, V>::fits)
      if (NormedOneRow<Cell, V>::applies_to(q)) return run_one_row(slice);
    for (int64_t s = 0; s < steps.count(); s += steps_at_once) {
      const int64_t last = std::min(s + steps_at_once, steps.count());
      multiply_x(slice, s, last);
      if (slice.by_units) slice.me.barrier();
      normalise_x(slice, s, last);
      int64_t before = 0;  // rows of this chunk's steps that are done
      for (int64_t now = s; now < last; ++now) before += step(slice, now, before);
    }
  }

  void run_one_row(const ThreadSlice& slice) {
    NormedOneRow<Cell, V> one_row(q, panels, saved, zeros);
    for (int64_t s = 0; s < steps.count(); s += steps_at_once) {
      const int64_t last = std::min(s + steps_at_once, steps.count());
      multiply_x(slice, s, last);
      normalise_x(slice, s, last);
      one_row.run(s, last, slice.wx, ld_x);
    }
    one_row.finish();
  }

  // W x of the steps [s, last).
  void multiply_x(const ThreadSlice& slice, int64_t s, int64_t last) {
    int64_t count = 0;
    for (int64_t now = s; now < last; ++now)
      for (int64_t i = 0, n = slice.count(steps.active(now)); i < n; ++i) slice.rows[count++] = q.x + steps.at(now, slice.row(i)) * q.I;
    for (int64_t g = slice.group_first; g < slice.group_last; ++g)
      gemm<V>(X, slice.wx + g * X * L, ld_x, zeros, 0, count, {slice.rows, panels.x(g), X * L, q.I});
  }

  // One step; returns its number of product rows. Its rows of W x begin at `before`.
  int64_t step(const ThreadSlice& slice, int64_t s, int64_t before) {
    const int64_t active = steps.active(s), count = slice.count(active);
    for (int64_t i = 0; i < count; ++i) slice.rows[i] = states.on_the_way(0, steps.origin(s, slice.row(i)), s, slice.row(i));
    for (int64_t g = slice.group_first; g < slice.group_last; ++g)
      gemm<V>(H, slice.rh + g * H * L, ld_h, zeros, 0, count, {slice.rows, panels.h(g), H * L, q.P}, {},
              q.rows.B == 1 ? Terms::one_row : Terms::numbers);
    if (slice.by_units) slice.me.barrier();
    slice.thread_sets.each(active, [&](int64_t, int64_t b, int64_t n, int64_t place) {
      const int64_t i = slice.by_units ? b : place;
      cells(slice, s, b, n, slice.wx + (before + i) * ld_x, slice.rh + i * ld_h);
    });
    if (slice.by_units) slice.me.barrier();
    return count;
  }

  // Turns W x of the steps [s, last) into LN(W x) gain + b.
  void normalise_x(const ThreadSlice& slice, int64_t s, int64_t last) {
    int64_t before = 0;
    for (int64_t now = s; now < last; ++now) {
      slice.thread_sets.each(steps.active(now), [&](int64_t, int64_t b, int64_t n, int64_t place) {
        const int64_t i = before + (slice.by_units ? b : place);
        for (int64_t j = 0; j < n; ++j)
          normalise_row(slice.wx + (i + j) * ld_x, q.saved ? q.saved + steps.saved_at(now, b + j) * saved.size() : nullptr);
      });
      before += slice.count(steps.active(now));
    }
  }

  void normalise_row(T* x, T* save) const {
    const Gains<Cell, V> gains{panels.per_unit(0), shape.padded};
    const Moments<T> of_x = moments<V, X>(x, shape.blocks, shape.lanes_of(shape.blocks - 1), Cell::epsilon);
    if (save) saved.put_x(save, of_x);
    T* hat = save && saved.has_x() ? save + saved.h_size : nullptr;
    for (int64_t block = 0; block < shape.blocks; ++block)
      for (int r = 0; r < X; ++r) {
        const int64_t at = (block * X + r) * L;
        const V v = normalised<V>(load<V>(x + at), of_x, shape.lanes_of(block));
        if (hat) store<V>(hat + at, v);
        store<V>(x + at, load<V>(panels.bias(block) + (Cell::x_first + r) * L) + gains.x(r, block * L) * v);
      }
  }

  struct StepRow {  // of a step and a row
    int64_t at, saved_at, row;
    bool ends;
    T *saved, *stages;
    const T* old[S];
    Moments<T> of_h, between;
  };

  StepRow find_step_row(const ThreadSlice& slice, int64_t s, int64_t b, int64_t j) const {
    const int64_t saved_at = steps.saved_at(s, b);
    const Origin origin = steps.origin(s, b);
    StepRow step_row{.at = steps.at(s, b),
                     .saved_at = saved_at,
                     .row = steps.row(b),
                     .ends = steps.ends(s, b),
                     .saved = q.saved ? q.saved + saved_at * saved.size() : nullptr,
                     .stages = slice.stages + j * row_stages,
                     .old = {},
                     .of_h = {},
                     .between = {}};
    for (int k = 0; k < S; ++k) step_row.old[k] = states.on_the_way(k, origin, s, b);
    return step_row;
  }

  // The pointwise stages of n rows from b on, a set, from LN(W x) gain + b and R h.
  void cells(const ThreadSlice& slice, int64_t s, int64_t b, int64_t n, const T* x, const T* h) {
    StepRow step_rows[RowSets::most];
    const int tail = shape.lanes_of(shape.blocks - 1);
    for (int64_t j = 0; j < n; ++j) {
      step_rows[j] = find_step_row(slice, s, b + j, j);
      step_rows[j].of_h = moments<V, H>(h + j * ld_h, shape.blocks, tail, Cell::epsilon);
    }
    for (int64_t j = 0; j < n; ++j)
      for (int64_t block = 0; block < shape.blocks; ++block) before(step_rows[j], block, x + j * ld_x, h + j * ld_h);
    for (int64_t j = 0; j < n; ++j) {
      if constexpr (Cell::normalises)
        step_rows[j].between = moments<V, 1>(step_rows[j].stages + (S + Cell::saved) * shape.padded, shape.blocks, tail, Cell::epsilon);
      if (step_rows[j].saved) saved.put(step_rows[j].saved, step_rows[j].of_h, step_rows[j].between);
    }
    for (int64_t j = 0; j < n; ++j)
      for (int64_t block = 0; block < shape.blocks; ++block) after(step_rows[j], block);
  }

  // Up to the value that is normalised over all units.
  CARROUSEL_INLINE void before(const StepRow& step_row, int64_t block, const T* x, const T* h) {
    const int64_t unit = block * L;
    const int n = shape.lanes_of(block);
    const Gains<Cell, V> gains{panels.per_unit(0), shape.padded};
    V rows[R], old[S], now[S], weights[Cell::weights], save[Cell::saved + 1], raw{};
    for (int r = 0; r < R; ++r)
      rows[r] = load<V>(r - Cell::x_first < X ? x + (block * X + r - Cell::x_first) * L : panels.bias(block) + r * L);
    for (int r = 0; r < H; ++r) {
      const int64_t at = (block * H + r) * L;
      const V v = normalised<V>(load<V>(h + at), step_row.of_h, n);
      if (step_row.saved) store<V>(step_row.saved + at, v);
      rows[Cell::h_first + r] += gains.h(r, unit) * v;
    }
    look(step_row, unit, n, old, weights);
    Cell::before(rows, old, weights, now, save, &raw);
    for (int k = 0; k < S; ++k)
      if (!Cell::late[k]) store<V>(step_row.stages + k * shape.padded + unit, now[k]);
    for (int k = 0; k < Cell::saved; ++k) store<V>(step_row.stages + (S + k) * shape.padded + unit, save[k]);
    if constexpr (Cell::normalises) store<V>(step_row.stages + (S + Cell::saved) * shape.padded + unit, existing<V>(raw, n));
  }

  // From there to the new states.
  CARROUSEL_INLINE void after(const StepRow& step_row, int64_t block) {
    const int64_t unit = block * L;
    const int n = shape.lanes_of(block);
    V now[S], save[Cell::saved + 1];
    for (int k = 0; k < S; ++k)
      if (!Cell::late[k]) now[k] = load<V>(step_row.stages + k * shape.padded + unit);
    for (int k = 0; k < Cell::saved; ++k) save[k] = load<V>(step_row.stages + (S + k) * shape.padded + unit);
    if constexpr (Cell::normalises) {
      V old[S], weights[Cell::weights], late[S];
      look(step_row, unit, n, old, weights);
      const V normal = normalised<V>(load<V>(step_row.stages + (S + Cell::saved) * shape.padded + unit), step_row.between, n);
      Cell::after(save, old, now, weights, &normal, late);
      for (int k = 0; k < S; ++k)
        if (Cell::late[k]) now[k] = late[k];
    }
    store_n<V>(q.y + step_row.at * q.ld_y + unit, now[0], n);
    if (step_row.ends) store_n<V>(q.final[0] + step_row.row * q.H + unit, now[0], n);
    for (int k = 1; k < S; ++k) {
      store_n<V>(q.final[k] + step_row.row * q.H + unit, now[k], n);
      if (q.history[k]) store_n<V>(history(k, step_row) + unit, now[k], n);
    }
    for (int k = 0; k < Cell::saved && q.gates; ++k) store_n<V>(q.gates[k] + step_row.at * q.H + unit, save[k], n);
  }

  // Loads the inputs of a block of units.
  CARROUSEL_INLINE void look(const StepRow& step_row, int64_t unit, int n, V (&old)[S], V (&weights)[Cell::weights]) const {
    for (int k = 0; k < S; ++k) old[k] = load_n<V>(step_row.old[k] + unit, n);
    for (int w = 0; w < Cell::weights; ++w) weights[w] = load<V>(panels.per_unit(w) + unit);
  }

  T* history(int k, const StepRow& step_row) const {
    const int64_t pair_at = q.histories_shown ? step_row.at : step_row.saved_at;
    return q.history[k] + pair_at * q.H;
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
