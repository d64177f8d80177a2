// Backward of a normalised cell over a whole sequence (backpropagation through time, exact).
//
//   for each step, last to first:  dh = dy + d(R h) R        d(R h) of the step after
//                                  row by row, from what is saved: recompute the gates; da, ds through the two stages; then through LN:
//                                  d(R h) = scale (gain da - mean(gain da) - LN mean(gain da LN)), and likewise d(W x)
//   for each chunk of steps:       dx, dW, dR from d(W x) and d(R h) as in weight_gradients.hpp; biases, gains and per-unit weights from
//                                  the sums of the row sets
#pragma once
#include "layer_norm/one_row_backward.hpp"
#include "layer_norm/unit_gradients.hpp"
#include "sequence/gradient_of_h.hpp"
#include "sequence/outputs.hpp"
#include "sequence/weight_gradients.hpp"

namespace carrousel::CARROUSEL_TARGET {

// A cell's rows as the weight gradients use them: d(W x) and d(R h) are separate, though their sum was one row.
template <class Cell>
struct Apart {
  static constexpr int x_first = 0, x_rows = Cell::x_rows, h_first = x_rows, h_rows = Cell::h_rows, rows = x_rows + h_rows;
  static constexpr int fed = Cell::fed;
  static constexpr const int *x_order = Cell::x_order, *h_order = Cell::h_order, *fed_states = Cell::fed_states;
};

template <class Cell, class V>
class NormedBackward {
  using T = element<V>;
  static constexpr int L = lanes<V>, R = Cell::rows, X = Cell::x_rows, H = Cell::h_rows, S = Cell::states;
  static constexpr int64_t N = max_vectors * L;                                 // columns of a full panel

 public:
  NormedBackward(const Sequence<T>& q, const Gradients<T>& d)
      : q(q),
        d(d),
        of_matrices(without_biases(d)),
        shape(q.H),
        steps(q.rows),
        states(q, steps),
        split(choose_split<Cell>(q)),
        sets(q.rows),
        saved(q.H, q.I),
        stages(q, d, shape, steps, states, saved),
        unit_gradients(q, d, shape, steps, saved, sets, stages),
        fed_back(q, steps),
        weight_gradients(q, of_matrices, steps, states, fed_back, ld_da, chunk_rows()) {}

  void run() {
    Workspace scratch([this](Arena& arena) { lay_out(arena); });
    steps.locate(places);
    cut_into_chunks();
    std::fill(zeros, zeros + zero_count(), T(0));
    run_on_threads(split.threads, [this](Member me) { work(me); });
  }

 private:
  const Sequence<T>& q;
  const Gradients<T>& d;
  const Gradients<T> of_matrices;
  const RowBlocks<Cell, V> shape;
  Steps steps;
  States<T> states;
  const WorkSplit split;
  const RowSets sets;
  const Saved<Cell, V> saved;
  BackwardStages<Cell, V> stages;
  UnitGradients<Cell, V> unit_gradients;
  const int64_t ld_da = (X + H) * shape.padded + L;  // not a power of two; likewise the others
  const int64_t ld_x = X * shape.padded + L;
  const int64_t quads = (q.P + N - 1) / N, ld_dh = quads * N + L;
  const FedBack<Apart<Cell>, V> fed_back;  // h in place: such a cell has no masks
  WeightGradients<Apart<Cell>, V> weight_gradients;

  // Scratch.
  int64_t *places, *chunks;  // chunks: the first step of each; the last is the number of steps
  int64_t chunk_count;
  T* zeros;
  T *x_panels, *h_panels;  // W as forward reads it, if W x was not saved; R by columns
  T* da_ring[2];           // [chunk rows, ld_da]  d(W x), then d(R h): of this chunk and of the one before it in the loop
  // Each member has its own part of these; if they split the units, all share one.
  T *dh, *wx;                 // [sets.rows(), ld_dh], [sets.rows(), ld_x]
  const T** pointers;
  int64_t* restored;

  static Gradients<T> without_biases(Gradients<T> d) {
    d.db_x = d.db_h = nullptr;
    return d;
  }

  // Long enough that the sums are not read and written often, short enough that da stays cached.
  int64_t chunk_rows() const {
    const int64_t rows = double(q.I + q.P) * R * shape.padded * sizeof(T) > 4e6 ? 768 : 256, B = std::max<int64_t>(q.rows.B, 1);
    return std::clamp<int64_t>((rows + B - 1) / B, 1, std::max<int64_t>(steps.count(), 1)) * B;
  }
  void cut_into_chunks() {
    const int64_t most = chunk_rows();
    chunk_count = 0;
    for (int64_t s = 0, rows = 0; s < steps.count(); ++s) {
      if (s && rows + steps.active(s) <= most) {
        rows += steps.active(s);
        continue;
      }
      chunks[chunk_count++] = s;
      rows = steps.active(s);
    }
    chunks[chunk_count] = steps.count();
  }
  int64_t zero_count() const { return std::max<int64_t>(H * shape.padded, X * L); }
  Terms terms() const { return q.rows.B == 1 ? Terms::one_row : Terms::numbers; }

  void lay_out(Arena& arena) {
    const int64_t B = q.rows.B, rows = chunk_rows();
    places = arena.take<int64_t>(steps.scratch());
    chunks = arena.take<int64_t>(steps.count() + 1);
    zeros = arena.take<T>(zero_count());
    x_panels = arena.take<T>(saved.has_x() ? 0 : q.I * X * shape.padded);
    h_panels = arena.take<T>(quads * N * H * shape.padded);
    da_ring[0] = arena.take<T>(rows * ld_da);
    da_ring[1] = rows >= count_step_rows(q.rows) ? da_ring[0] : arena.take<T>(rows * ld_da);  // one chunk needs one
    dh = arena.take<T>(sets.rows() * ld_dh);
    wx = arena.take<T>(saved.has_x() ? 0 : (is_one_row() ? rows : sets.rows()) * ld_x);
    states.lay_out(arena);
    stages.lay_out(arena, sets, split.threads);
    unit_gradients.lay_out(arena);
    pointers = arena.take<const T*>(is_one_row() ? rows : split.threads * B);
    restored = arena.take<int64_t>(q.rows.resets ? split.threads * B : 0);
    weight_gradients.lay_out(arena, split.threads);
  }

  struct ThreadSlice {  // what one thread computes
    Member me;
    ThreadSets thread_sets;
    bool by_units;
    int64_t quad_first, quad_last, block_first, block_last;  // of the products' columns
    T *dh, *wx;
    const T** rows;
    int64_t* restored;

    // The rows whose products it computes.
    int64_t count(int64_t active) const { return by_units ? active : thread_sets.below(active); }
    int64_t row(int64_t i) const { return by_units ? i : thread_sets.row(i); }
  };

  ThreadSlice slice_of(Member me) const {
    const ThreadSets thread_sets(sets, me);
    const bool all = !split.by_units;
    const int64_t base = all ? thread_sets.base() : 0, B = q.rows.B;
    return {.me = me,
            .thread_sets = thread_sets,
            .by_units = split.by_units,
            .quad_first = all ? 0 : me.first(quads),
            .quad_last = all ? quads : me.last(quads),
            .block_first = all ? 0 : me.first(shape.blocks),
            .block_last = all ? shape.blocks : me.last(shape.blocks),
            .dh = dh + base * ld_dh,
            .wx = saved.has_x() ? nullptr : wx + base * ld_x,
            .rows = pointers + me.rank * B,
            .restored = restored + (q.rows.resets ? me.rank * B : 0)};
  }

  void work(Member me) {
    prepare(me);
    me.barrier();
    const ThreadSlice slice = slice_of(me);
    NormedOneRowBackward<Cell, V> one_row(q, d, saved, stages, h_panels, N, zeros);
    const T* after = nullptr;
    for (int64_t c = chunk_count - 1; c >= 0; --c) {
      const int64_t first = chunks[c], last = chunks[c + 1];
      T* here = da_ring[c % 2];
      if (is_one_row()) {
        multiply_x(slice, first, last);
        one_row.run(first, last, slice.wx, ld_x, here, ld_da, unit_gradients.of_one(c));
        after = here;
      } else {
        after = step_chunk(slice, c, here, after);
      }
      me.barrier();
      // Every thread has passed the barrier, so the next steps may overwrite the other halves.
      weight_gradients.add(me, da_ring[c % 2], nullptr, nullptr, nullptr, first, last);
      unit_gradients.add_sets(me, c);
    }
    restore(slice, 0, after);
    gather_dh(slice, -1, after);
    me.barrier();
    weight_gradients.write(me);
    if (me.rank == 0) unit_gradients.write();
    states.template write_gradients<S>(me, d, [this](int k, int64_t b) { return stages.reached(k, b); });
    put_padding(me, q.rows, d.dx, q.I, q.I, T(0));
  }

  // Whether there is only one row, of one vector of units.
  bool is_one_row() const { return NormedOneRow<Cell, V>::fits && NormedOneRow<Cell, V>::applies_to(q); }

  // All steps of a chunk; returns da of its first step.
  const T* step_chunk(const ThreadSlice& slice, int64_t chunk, T* here, const T* after) {
    const int64_t first = chunks[chunk], last = chunks[chunk + 1];
    for (int64_t s = first; s < last; ++s) here += steps.active(s) * ld_da;
    for (int64_t s = last - 1; s >= first; --s) {
      here -= steps.active(s) * ld_da;
      step(slice, s, here, after, chunk);
      after = here;
    }
    return after;
  }

  void prepare(Member me) {
    for (int64_t g = me.first(shape.groups); g < me.last(shape.groups) && !saved.has_x(); ++g)
      pack_group<Cell, V>(x_panels + g * L * X * q.I, q.W, q.I, Cell::x_order, X, shape, g);
    for (int64_t p = me.first(quads); p < me.last(quads); ++p)
      pack_columns(h_panels + p * N * H * shape.padded, N, q.R, q.P, q.P, Cell::h_order, H, q.H, shape.padded, p * N);
    states.prepare(me);
    stages.prepare(me);
    unit_gradients.prepare(me);
    weight_gradients.prepare(me);
  }

  void step(const ThreadSlice& slice, int64_t s, T* here, const T* after, int64_t chunk) {
    restore(slice, s + 1, after);
    gather_dh(slice, s, after);
    if (!saved.has_x()) multiply_x(slice, s, s + 1);
    if (slice.by_units) slice.me.barrier();
    slice.thread_sets.each(steps.active(s), [&](int64_t set, int64_t b, int64_t n, int64_t at) {
      const int64_t i = slice.by_units ? b : at;
      T* x = slice.wx ? slice.wx + i * ld_x : nullptr;
      const typename BackwardStages<Cell, V>::SetRows place{slice.dh + i * ld_dh, x, here + b * ld_da, ld_dh, ld_x, ld_da};
      stages.run(slice.me, s, b, n, place);
      unit_gradients.add(slice.me, chunk, set, s, b, n, place);
    });
    if (slice.by_units) slice.me.barrier();
  }

  // ---- products

  // Vectors that the p-th panel has.
  int vectors_of(int64_t p) const { return int((std::min(N, q.P - p * N) + L - 1) / L); }
  Factor<T> h_factor(const T* const* rows, int64_t p) const { return {rows, h_panels + p * N * H * shape.padded, N, H * shape.padded}; }

  // The row of d(R h) at step s that reaches the step before: zeros if the states were restored in between.
  const T* reaching(int64_t s, int64_t b, const T* here) const {
    return steps.restarts(s, b) ? zeros : here + b * ld_da + X * shape.padded;
  }

  // The gradient of h at step s from outside and from the step after; for rows that start after step s, that of h before their
  // first step.
  void gather_dh(const ThreadSlice& slice, int64_t s, const T* after) {
    const int64_t active = steps.active(s), count = slice.count(active), continuing = slice.count(steps.active(s + 1));
    for (int64_t i = 0; i < continuing; ++i) slice.rows[i] = reaching(s + 1, slice.row(i), after);
    for (int64_t p = slice.quad_first; p < slice.quad_last; ++p) {
      const int vectors = vectors_of(p);
      for (int64_t i = 0, n = std::max(count, continuing); i < n; ++i) {
        const int64_t b = slice.row(i);
        const T* dy = i < count && d.dy ? d.dy + steps.at(s, b) * d.ld_dy : nullptr;
        const T* d_final = i >= continuing && d.d_final[0] ? d.d_final[0] + steps.row(b) * q.P : nullptr;
        const T* reached = i < continuing ? stages.reached(0, b) : nullptr;
        gather_row<V>(slice.dh + i * ld_dh + p * N, dy, d_final, reached, p * N, vectors, q.P);
      }
      T* to = slice.dh + p * N;
      if (continuing) gemm<V>(vectors, to, ld_dh, to, ld_dh, continuing, h_factor(slice.rows, p), {}, terms());
      for (int64_t i = count; i < continuing && d.d_initial[0]; ++i)
        std::memcpy(d.d_initial[0] + steps.row(slice.row(i)) * q.P + p * N, to + i * ld_dh, std::min(N, q.P - p * N) * sizeof(T));
    }
  }

  // The gradient of the restored h through R at step s, for each row that was restored there.
  void restore(const ThreadSlice& slice, int64_t s, const T* here) {
    if (!q.rows.resets || !d.d_restored[0] || s >= steps.count()) return;
    int64_t count = 0;
    for (int64_t i = 0, n = slice.count(steps.active(s)); i < n; ++i)
      if (steps.restarts(s, slice.row(i))) slice.restored[count++] = slice.row(i);
    if (!count) return;
    for (int64_t i = 0; i < count; ++i) slice.rows[i] = here + slice.restored[i] * ld_da + X * shape.padded;
    for (int64_t p = slice.quad_first; p < slice.quad_last; ++p) {
      T* to = slice.dh + p * N;
      for (int64_t i = 0; i < count; ++i) std::fill(to + i * ld_dh, to + i * ld_dh + N, T(0));
      gemm<V>(vectors_of(p), to, ld_dh, to, ld_dh, count, h_factor(slice.rows, p), {}, terms());
      for (int64_t i = 0; i < count; ++i) {
        T* sum = d.d_restored[0] + steps.row(slice.restored[i]) * q.P + p * N;
        for (int64_t c = 0, some = std::min(N, q.P - p * N); c < some; ++c) sum[c] += to[i * ld_dh + c];
      }
    }
  }

  // W x of the steps [first, last), recomputed.
  void multiply_x(const ThreadSlice& slice, int64_t first, int64_t last) {
    int64_t count = 0;
    for (int64_t s = first; s < last; ++s)
      for (int64_t i = 0, n = slice.count(steps.active(s)); i < n; ++i) slice.rows[count++] = q.x + steps.at(s, slice.row(i)) * q.I;
    for (int64_t block = slice.block_first; block < slice.block_last; ++block)
      gemm<V>(X, slice.wx + block * X * L, ld_x, zeros, 0, count, {slice.rows, x_panels + block * L * X * q.I, X * L, q.I});
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
