// Forward of a cell that is normalised, over a whole sequence.
//
//   for some steps:  LN(W x) gain + b                    rows times panels, as in forward.hpp, but all units first
//   for each step:   a = that + LN(R h) gain             likewise
//                    states = cell(a, states)            in two stages, set of rows by set of rows
//
// Of each stage all rows of a set have their turn before the next stage: the sums over units that one row waits for do not hold up
// the others.
//
// Threads split the batch by sets of rows (sets.hpp) and never wait for each other; or, where the weights outgrow a core's cache and the
// batch is small, they split the units of the products, meet, split the rows of what follows, and meet again.
#pragma once
#include "gemm/panels.hpp"
#include "layer_norm/saved.hpp"
#include "layer_norm/one_row.hpp"
#include "layer_norm/row_sets.hpp"
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
      : q(q), shape(q.H), panels(q, shape), steps(q.rows), states(q, steps), split(choose_split<Cell>(q)), sets(q.rows), kept(q.H, q.I) {}

  void run() {
    Workspace scratch([this](Layout& layout) { lay_out(layout); });
    steps.locate(places);
    prefer_large_pages_of_outputs<Cell>(q, kept.size());
    states.prepare({});
    std::fill(zeros, zeros + zero_count, T(0));
    team(split.threads, [this](Member me) { work(me); });
  }

 private:
  const Sequence<T>& q;
  const Shape<Cell, V> shape;
  Panels<Cell, V> panels;
  Steps steps;
  States<T> states;
  const Split split;
  const Sets sets;
  const Kept<Cell, V> kept;
  // Rows are a vector longer than they need be: equal columns of many would fall into one set of the cache.
  const long ld_x = X * shape.padded + L, ld_h = H * shape.padded + L;

  // Scratch. Members have their own places in wx and rh or, where they split the units, all have all.
  int64_t* places;
  static constexpr long zero_count = std::max(X, H) * L;  // what a product starts from
  T *zeros, *wx, *rh;  // [zero_count], [sets.rows() * steps_at_once, ld_x], [sets.rows(), ld_h]
  T* stages;           // a piece a thread: what a set of rows has between its stages
  const T** pointers;
  const long row_stages = (S + Cell::kept + 1) * shape.padded;
  long pointers_each;
  // As much W x as fills the tiles, whatever I is: it is normalised and waits for nothing, which the rest of a step does.
  const long rows_each = split.by_units ? q.rows.B : (q.rows.B + split.threads - 1) / split.threads;
  const long steps_at_once = std::clamp<long>(48 / std::max<long>(rows_each, 1), 1, std::max<int64_t>(steps.count(), 1));

  void lay_out(Layout& layout) {
    places = layout.take<int64_t>(steps.scratch());
    states.lay_out(layout);
    zeros = layout.take<T>(zero_count);
    panels.lay_out(layout);
    wx = layout.take<T>(sets.rows() * steps_at_once * ld_x);
    rh = layout.take<T>(sets.rows() * ld_h);
    stages = layout.take<T>(split.threads * sets.each() * row_stages);
    pointers_each = q.rows.B * steps_at_once;
    pointers = layout.take<const T*>(split.threads * pointers_each);
  }

  struct Turn {  // what one thread does
    Member me;
    Own own;
    bool by_units;
    long group_first, group_last;
    T *wx, *rh, *stages;
    const T** rows;

    // The rows whose products it computes.
    long count(long active) const { return by_units ? active : own.below(active); }
    long row(long i) const { return by_units ? i : own.row(i); }
  };

  void work(Member me) {
    panels.pack(me);
    write_without_steps<Cell>(me, q, steps, states);
    me.meet();
    const Own own(sets, me);
    const long base = split.by_units ? 0 : own.base();
    const Turn turn{me,
                    own,
                    split.by_units,
                    split.by_units ? me.first(shape.groups) : 0,
                    split.by_units ? me.last(shape.groups) : shape.groups,
                    wx + base * steps_at_once * ld_x,
                    rh + base * ld_h,
                    stages + me.rank * sets.each() * row_stages,
                    pointers + me.rank * pointers_each};
    if constexpr (NormedLone<Cell, V>::fits)
      if (NormedLone<Cell, V>::takes(q)) return work_alone(turn);
    for (long s = 0; s < steps.count(); s += steps_at_once) {
      const long last = std::min(s + steps_at_once, steps.count());
      multiply_x(turn, s, last);
      if (turn.by_units) turn.me.meet();
      normalise_x(turn, s, last);
      long before = 0;  // rows of the steps of this chunk that are done
      for (long now = s; now < last; ++now) before += step(turn, now, before);
    }
  }

  void work_alone(const Turn& turn) {
    NormedLone<Cell, V> lone(q, panels, kept, zeros);
    for (long s = 0; s < steps.count(); s += steps_at_once) {
      const long last = std::min(s + steps_at_once, steps.count());
      multiply_x(turn, s, last);
      normalise_x(turn, s, last);
      lone.run(s, last, turn.wx, ld_x);
    }
    lone.finish();
  }

  // W x of the steps [s, last).
  void multiply_x(const Turn& turn, long s, long last) {
    long count = 0;
    for (long now = s; now < last; ++now)
      for (long i = 0, n = turn.count(steps.active(now)); i < n; ++i) turn.rows[count++] = q.x + steps.at(now, turn.row(i)) * q.I;
    for (long g = turn.group_first; g < turn.group_last; ++g)
      product<V>(X, turn.wx + g * X * L, ld_x, zeros, 0, count, {turn.rows, panels.x(g), X * L, q.I});
  }

  // One step; returns how many rows of products it had. The rows of W x begin at `before`.
  long step(const Turn& turn, long s, long before) {
    const long active = steps.active(s), count = turn.count(active);
    for (long i = 0; i < count; ++i) turn.rows[i] = states.on_the_way(0, steps.origin(s, turn.row(i)), s, turn.row(i));
    for (long g = turn.group_first; g < turn.group_last; ++g)
      product<V>(H, turn.rh + g * H * L, ld_h, zeros, 0, count, {turn.rows, panels.h(g), H * L, q.P}, {},
                 q.rows.B == 1 ? Terms::lone : Terms::numbers);
    if (turn.by_units) turn.me.meet();
    turn.own.each(active, [&](long, long b, long n, long place) {
      const long i = turn.by_units ? b : place;
      cells(turn, s, b, n, turn.wx + (before + i) * ld_x, turn.rh + i * ld_h);
    });
    if (turn.by_units) turn.me.meet();
    return count;
  }

  // W x of the steps [s, last) becomes LN(W x) gain + b.
  void normalise_x(const Turn& turn, long s, long last) {
    long before = 0;
    for (long now = s; now < last; ++now) {
      turn.own.each(steps.active(now), [&](long, long b, long n, long place) {
        const long i = before + (turn.by_units ? b : place);
        for (long j = 0; j < n; ++j)
          normalise_row(turn.wx + (i + j) * ld_x, q.kept ? q.kept + steps.kept_at(now, b + j) * kept.size() : nullptr);
      });
      before += turn.count(steps.active(now));
    }
  }

  void normalise_row(T* x, T* keep) const {
    const Gains<Cell, V> gains{panels.per_unit(0), shape.padded};
    const Moments<T> of_x = moments<V, X>(x, shape.blocks, shape.lanes_of(shape.blocks - 1), Cell::epsilon);
    if (keep) kept.put_x(keep, of_x);
    T* hat = keep && kept.has_x() ? keep + kept.h_size : nullptr;
    for (long block = 0; block < shape.blocks; ++block)
      for (int r = 0; r < X; ++r) {
        const long at = (block * X + r) * L;
        const V v = normalised<V>(load<V>(x + at), of_x, shape.lanes_of(block));
        if (hat) store<V>(hat + at, v);
        store<V>(x + at, load<V>(panels.bias(block) + (Cell::x_first + r) * L) + gains.x(r, block * L) * v);
      }
  }

  struct Pair {  // of a step and a row
    long at, kept_at, row;
    bool ends;
    T *kept, *stages;
    const T* old[S];
    Moments<T> of_h, between;
  };

  Pair pair_of(const Turn& turn, long s, long b, long j) const {
    const long kept_at = steps.kept_at(s, b);
    const Origin origin = steps.origin(s, b);
    Pair pair{steps.at(s, b),
              kept_at,
              steps.row(b),
              steps.ends(s, b),
              q.kept ? q.kept + kept_at * kept.size() : nullptr,
              turn.stages + j * row_stages,
              {},
              {},
              {}};
    for (int k = 0; k < S; ++k) pair.old[k] = states.on_the_way(k, origin, s, b);
    return pair;
  }

  // The pointwise stages of n rows from b on, a set's, from LN(W x) gain + b and R h.
  void cells(const Turn& turn, long s, long b, long n, const T* x, const T* h) {
    Pair pairs[Sets::most];
    const int tail = shape.lanes_of(shape.blocks - 1);
    for (long j = 0; j < n; ++j) {
      pairs[j] = pair_of(turn, s, b + j, j);
      pairs[j].of_h = moments<V, H>(h + j * ld_h, shape.blocks, tail, Cell::epsilon);
    }
    for (long j = 0; j < n; ++j)
      for (long block = 0; block < shape.blocks; ++block) before(pairs[j], block, x + j * ld_x, h + j * ld_h);
    for (long j = 0; j < n; ++j) {
      if constexpr (Cell::normalises)
        pairs[j].between = moments<V, 1>(pairs[j].stages + (S + Cell::kept) * shape.padded, shape.blocks, tail, Cell::epsilon);
      if (pairs[j].kept) kept.put(pairs[j].kept, pairs[j].of_h, pairs[j].between);
    }
    for (long j = 0; j < n; ++j)
      for (long block = 0; block < shape.blocks; ++block) after(pairs[j], block);
  }

  // Up to where a value is normalised over all units.
  CARROUSEL_INLINE void before(const Pair& pair, long block, const T* x, const T* h) {
    const long unit = block * L;
    const int n = shape.lanes_of(block);
    const Gains<Cell, V> gains{panels.per_unit(0), shape.padded};
    V rows[R], old[S], now[S], weights[Cell::weights], keep[Cell::kept + 1], raw{};
    for (int r = 0; r < R; ++r)
      rows[r] = load<V>(r - Cell::x_first < X ? x + (block * X + r - Cell::x_first) * L : panels.bias(block) + r * L);
    for (int r = 0; r < H; ++r) {
      const long at = (block * H + r) * L;
      const V v = normalised<V>(load<V>(h + at), pair.of_h, n);
      if (pair.kept) store<V>(pair.kept + at, v);
      rows[Cell::h_first + r] += gains.h(r, unit) * v;
    }
    look(pair, unit, n, old, weights);
    Cell::before(rows, old, weights, now, keep, &raw);
    for (int k = 0; k < S; ++k)
      if (!Cell::late[k]) store<V>(pair.stages + k * shape.padded + unit, now[k]);
    for (int k = 0; k < Cell::kept; ++k) store<V>(pair.stages + (S + k) * shape.padded + unit, keep[k]);
    if constexpr (Cell::normalises) store<V>(pair.stages + (S + Cell::kept) * shape.padded + unit, existing<V>(raw, n));
  }

  // From there to the new states.
  CARROUSEL_INLINE void after(const Pair& pair, long block) {
    const long unit = block * L;
    const int n = shape.lanes_of(block);
    V now[S], keep[Cell::kept + 1];
    for (int k = 0; k < S; ++k)
      if (!Cell::late[k]) now[k] = load<V>(pair.stages + k * shape.padded + unit);
    for (int k = 0; k < Cell::kept; ++k) keep[k] = load<V>(pair.stages + (S + k) * shape.padded + unit);
    if constexpr (Cell::normalises) {
      V old[S], weights[Cell::weights], late[S];
      look(pair, unit, n, old, weights);
      const V normal = normalised<V>(load<V>(pair.stages + (S + Cell::kept) * shape.padded + unit), pair.between, n);
      Cell::after(keep, old, now, weights, &normal, late);
      for (int k = 0; k < S; ++k)
        if (Cell::late[k]) now[k] = late[k];
    }
    store_some<V>(q.y + pair.at * q.ld_y + unit, now[0], n);
    if (pair.ends) store_some<V>(q.final[0] + pair.row * q.H + unit, now[0], n);
    for (int k = 1; k < S; ++k) {
      store_some<V>(q.final[k] + pair.row * q.H + unit, now[k], n);
      if (q.history[k]) store_some<V>(history(k, pair) + unit, now[k], n);
    }
    for (int k = 0; k < Cell::kept && q.gates; ++k) store_some<V>(q.gates[k] + pair.at * q.H + unit, keep[k], n);
  }

  // What lies ready for a block of units.
  CARROUSEL_INLINE void look(const Pair& pair, long unit, int n, V (&old)[S], V (&weights)[Cell::weights]) const {
    for (int k = 0; k < S; ++k) old[k] = load_some<V>(pair.old[k] + unit, n);
    for (int w = 0; w < Cell::weights; ++w) weights[w] = load<V>(panels.per_unit(w) + unit);
  }

  T* history(int k, const Pair& pair) const {
    const long pair_at = q.histories_shown ? pair.at : pair.kept_at;
    return q.history[k] + pair_at * q.H;
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
