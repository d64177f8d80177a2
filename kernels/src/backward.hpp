// Backward over a whole sequence (backpropagation through time, exact).
//
//   for each step, last to first:  dh = dy + da R        da of the step after
//                                  da, ds = cell's derivative (dh, ds)
//   for each chunk of steps:       dx = da W;  dW += da' x;  dR += da' h;  db += sum of da
//
// da is never stored for the whole sequence: a chunk of it is turned into gradients of the weights while it is still in the cache,
// which saves writing and twice reading the largest array of the pass. Weight gradients are dealt to threads by their rows, each
// summed over all of the chunk by one thread in one order, so that no bit depends on the number of threads.
#pragma once
#include "pack.hpp"
#include "split.hpp"
#include "steps.hpp"
#include "team.hpp"
#include "workspace.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class Backward {
  using T = element<V>;
  static constexpr int L = lanes<V>;
  static constexpr int R = Cell::rows;

 public:
  Backward(const Sequence<T>& q, const Gradients<T>& d)
      : q(q), d(d), shape(q.H), split(choose_split<Cell>(q)), steps(q.rows), N(max_vectors * L) {
    ld_da = R * shape.padded + L;  // not a power of two: equal columns of many rows would fall into one set of the cache
    quads = (shape.padded + N - 1) / N;
    in_quads = (q.I + N - 1) / N;
    out_quads = (q.P + N - 1) / N;
    chunk = std::clamp<long>((chunk_rows() + q.rows.B - 1) / std::max<long>(q.rows.B, 1), 1, std::max<int64_t>(q.rows.T, 1));
    ld_k = chunk * q.rows.B + L;
  }

  void run() {
    Workspace scratch([this](Layout& layout) { lay_out(layout); });
    steps.locate(offsets);
    std::fill(zeros, zeros + std::max(q.P, q.H), T(0));
    team(split.threads, [this](Member me) { work(me); });
  }

 private:
  const Sequence<T>& q;
  const Gradients<T>& d;
  const Shape<Cell, V> shape;
  const Split split;
  Steps steps;
  const long N;  // columns of a full panel
  long ld_da, quads, in_quads, out_quads, chunk, ld_k;

  // Scratch.
  int64_t* offsets;
  T *zeros, *per_unit;
  T *h_panels, *x_panels, *projection_panels;  // R, W and P by columns
  T* da_ring[2];                               // [chunk rows, R * padded]  this chunk's da, and the chunk's before
  T* dp_ring[2];                               // [chunk rows, P]           projected cells: what reached h
  T* ds[max_states];                           // [B, padded]  what reached each state before the step
  T* row_weights;                              // [B, weights, padded]  per-unit weight gradients, a row of the batch each
  T *dW, *dR, *dP, *db;                        // sums: [I, R * padded], [P, R * padded], [H, P], [R * padded]
  T* accumulators;
  T* columns;                                  // transposed inputs of a chunk, one piece a thread
  const T** pointers;
  long accumulators_each, pointers_each, columns_each;

  // Long enough that the sums are not read and written often, short enough that da stays cached.
  long chunk_rows() const { return double(q.I + q.P) * R * shape.padded * sizeof(T) > 4e6 ? 768 : 256; }
  bool projected() const { return q.projection != nullptr; }
  bool lone() const { return q.rows.B == 1; }
  bool sums_weights() const { return d.dW || d.dR; }

  void lay_out(Layout& layout) {
    const long B = q.rows.B, rows = chunk * B;
    offsets = layout.take<int64_t>(q.rows.batch_sizes ? q.rows.T : 0);
    zeros = layout.take<T>(std::max(q.P, q.H));
    per_unit = layout.take<T>(Cell::weights * shape.padded);
    h_panels = layout.take<T>(out_quads * N * Cell::h_rows * shape.padded);
    x_panels = layout.take<T>(d.dx ? in_quads * N * Cell::x_rows * shape.padded : 0);
    projection_panels = layout.take<T>(projected() ? quads * N * q.P : 0);
    for (T*& ring : da_ring) ring = layout.take<T>(rows * ld_da);
    for (T*& ring : dp_ring) ring = layout.take<T>(projected() ? rows * q.P : 0);
    for (int k = 0; k < Cell::states; ++k) ds[k] = layout.take<T>(B * shape.padded);
    row_weights = layout.take<T>(B * Cell::weights * shape.padded);
    dW = layout.take<T>(d.dW ? q.I * R * shape.padded : 0);
    dR = layout.take<T>(d.dR ? q.P * R * shape.padded : 0);
    dP = layout.take<T>(d.d_projection ? q.H * out_quads * N : 0);
    db = layout.take<T>(R * shape.padded);
    accumulators_each = rows * N;
    accumulators = layout.take<T>(split.threads * accumulators_each);
    columns_each = (std::max({q.I, q.P, q.H}) + max_rows) * ld_k;
    columns = layout.take<T>(sums_weights() || d.d_projection ? split.threads * columns_each : 0);
    pointers_each = rows + std::max({q.I, q.P, q.H}) + max_rows;
    pointers = layout.take<const T*>(split.threads * pointers_each);
  }

  struct Turn {
    Member me;
    Share share;
    long quad_first, quad_last;  // of the units
    T* a;
    T* columns;
    const T** rows;
  };

  void work(Member me) {
    prepare(me);
    me.meet();
    Turn turn{me,
              split.share(me, q.rows),
              0,
              quads,
              accumulators + me.rank * accumulators_each,
              columns + me.rank * columns_each,
              pointers + me.rank * pointers_each};
    if (split.by_units) {
      turn.quad_first = me.first(quads);
      turn.quad_last = me.last(quads);
    }
    Place after{nullptr, nullptr};
    const long chunks = (steps.count() + chunk - 1) / chunk;
    for (long c = chunks - 1; c >= 0; --c) {
      const long first = c * chunk, last = std::min(first + chunk, steps.count());
      Place here = place(first);
      for (long s = first; s < last; ++s) here = moved(here, steps.active(s));
      for (long s = last - 1; s >= first; --s) {
        here = moved(here, -steps.active(s));
        step(turn, s, here, after);
        after = here;
      }
      me.meet();
      sum_chunk(turn, first, last);  // reads this half of the ring; the next steps write the other, which all have left before meeting
    }
    finish_rows(turn, after, 0, steps.active(0));
    me.meet();
    write(me);
  }

  void prepare(Member me) {
    for (long p = me.first(out_quads); p < me.last(out_quads); ++p)
      pack_columns(h_panels + p * N * Cell::h_rows * shape.padded, N, q.R, q.P, Cell::h_order, Cell::h_rows, q.H, shape.padded, p * N);
    for (long p = me.first(in_quads); d.dx && p < me.last(in_quads); ++p)
      pack_columns(x_panels + p * N * Cell::x_rows * shape.padded, N, q.W, q.I, Cell::x_order, Cell::x_rows, q.H, shape.padded, p * N);
    static constexpr int only[] = {0};
    for (long p = me.first(quads); projected() && p < me.last(quads); ++p)
      pack_columns(projection_panels + p * N * q.P, N, q.projection, q.H, only, 1, q.P, q.P, p * N);
    if (me.rank == 0 && Cell::weights) pack_rows(per_unit, q.per_unit, Cell::weights, q.H, shape.padded);
    clear(me, row_weights, q.rows.B * Cell::weights * shape.padded);
    clear(me, db, R * shape.padded);
    if (d.dW) clear(me, dW, q.I * R * shape.padded);
    if (d.dR) clear(me, dR, q.P * R * shape.padded);
    if (d.d_projection) clear(me, dP, q.H * out_quads * N);
  }

  static void clear(Member me, T* p, long n) { std::fill(p + me.first(n), p + me.last(n), T(0)); }

  // The rings at row 0 of a step. A chunk's rows lie step after step, without gaps.
  struct Place {
    T *da, *dp;
  };
  Place place(long first) const { return {da_ring[first / chunk % 2], dp_ring[first / chunk % 2]}; }
  Place moved(Place at, long rows) const { return {at.da + rows * ld_da, at.dp + rows * q.P}; }

  // How many vectors the p-th panel of `columns` columns really has.
  int vectors_of(long columns, long p) const { return int((std::min(N, columns - p * N) + L - 1) / L); }
  Factor<T> h_factor(const T* const* rows, long p) const {
    return {rows, h_panels + p * N * Cell::h_rows * shape.padded, N, Cell::h_rows * shape.padded};
  }

  // What reaches h at step s from outside and from the step after: turn.a [count, N] for the columns [p * N, ...) of P.
  void gather_dh(const Turn& turn, long s, Place after, long p, long count) {
    const int vectors = vectors_of(q.P, p);
    const long continuing = turn.share.below(std::min(steps.active(s), steps.active(s + 1)));
    for (long i = 0; i < count; ++i) {
      const long b = turn.share.row(i);
      const T* dy = d.dy ? d.dy + steps.at(s, b) * d.ld_dy : nullptr;
      const T* d_final = i >= continuing && d.d_final[0] ? d.d_final[0] + b * q.P : nullptr;
      for (int v = 0; v < vectors; ++v) {
        const long column = p * N + v * L;
        const int n = int(std::min<long>(L, q.P - column));
        V sum = dy ? load_some<V>(dy + column, n) : V{};
        if (d_final) sum += load_some<V>(d_final + column, n);
        if (i < continuing && !projected()) sum += load<V>(ds[0] + b * shape.padded + column);
        store<V>(turn.a + i * N + v * L, sum);
      }
      if (i < continuing) turn.rows[i] = after.da + b * ld_da + Cell::h_first * shape.padded;
    }
    if (continuing) product<V>(vectors, turn.a, N, turn.a, N, continuing, h_factor(turn.rows, p), {}, lone());
  }

  void step(const Turn& turn, long s, Place here, Place after) {
    if (s + 1 < steps.count() && steps.active(s + 1) > steps.active(s)) finish_rows(turn, after, steps.active(s), steps.active(s + 1));
    const long count = turn.share.below(steps.active(s));
    if (projected()) unproject(turn, s, here, after, count);
    for (long p = turn.quad_first; p < turn.quad_last; ++p) {
      if (projected())
        project_back(turn, here, p, count);
      else
        gather_dh(turn, s, after, p, count);
      const long first = p * max_vectors, last = std::min(first + max_vectors, shape.blocks);
      for (long i = 0; i < count; ++i) {
        const long b = turn.share.row(i);
        for (long block = first; block < last; ++block)
          cell(s, b, block, load<V>(turn.a + i * N + (block - first) * L), here.da + b * ld_da);
      }
    }
    if (split.by_units) turn.me.meet();
  }

  // Projected cells: dh [P] of every row first, since all of it reaches each unit.
  void unproject(const Turn& turn, long s, Place here, Place after, long count) {
    const long first = split.by_units ? turn.me.first(out_quads) : 0, last = split.by_units ? turn.me.last(out_quads) : out_quads;
    for (long p = first; p < last; ++p) {
      gather_dh(turn, s, after, p, count);
      for (long i = 0; i < count; ++i)
        std::memcpy(here.dp + turn.share.row(i) * q.P + p * N, turn.a + i * N, std::min(N, q.P - p * N) * sizeof(T));
    }
    if (split.by_units) turn.me.meet();
  }

  void project_back(const Turn& turn, Place here, long p, long count) {
    std::fill(turn.a, turn.a + count * N, T(0));
    for (long i = 0; i < count; ++i) turn.rows[i] = here.dp + turn.share.row(i) * q.P;
    product<V>(vectors_of(q.H, p), turn.a, N, turn.a, N, count, {turn.rows, projection_panels + p * N * q.P, N, q.P});
  }

  // The pointwise step, backward, of row b on one block of units.
  CARROUSEL_INLINE void cell(long s, long b, long block, V dh, T* da) {
    const long unit = block * L, at = steps.at(s, b);
    const int n = shape.lanes_of(block);
    const bool starts = steps.starts(s, b), ends = steps.ends(s, b);
    V keep[Cell::kept + 1], old[Cell::states], now[Cell::states], weights[Cell::weights + 1], d_now[Cell::states];
    V d_rows[R], d_old[Cell::states], d_weights[Cell::weights + 1];
    const T* kept = q.kept + at * shape.kept_size() + shape.kept_at(block);
    for (int k = 0; k < Cell::kept; ++k) keep[k] = load<V>(kept + k * shape.kept_stride(block));
    d_now[0] = dh;
    for (int k = 0; k < Cell::states; ++k) {
      if (Cell::reads_old[k]) old[k] = load_some<V>(old_state(k, s, b, starts) + unit, n);
      if (Cell::reads_new[k]) now[k] = load_some<V>(history(k, at) + unit, n);
      if (k)
        d_now[k] = ends ? (d.d_final[k] ? load_some<V>(d.d_final[k] + b * q.H + unit, n) : V{}) : load<V>(ds[k] + b * shape.padded + unit);
    }
    for (int w = 0; w < Cell::weights; ++w) weights[w] = load<V>(per_unit + w * shape.padded + unit);
    Cell::backward(keep, old, now, weights, d_now, d_rows, d_old, d_weights);
    for (int r = 0; r < R; ++r) store<V>(da + r * shape.padded + unit, d_rows[r]);
    for (int k = 0; k < Cell::states; ++k) store<V>(ds[k] + b * shape.padded + unit, d_old[k]);
    for (int w = 0; w < Cell::weights; ++w) {
      T* sum = row_weights + (b * Cell::weights + w) * shape.padded + unit;
      store<V>(sum, load<V>(sum) + d_weights[w]);
    }
  }

  const T* history(int k, long at) const {
    if (k) return q.history[k] + at * q.H;
    return projected() ? q.unprojected + at * q.H : q.y + at * q.ld_y;
  }
  const T* old_state(int k, long s, long b, bool starts) const {
    if (starts) return q.initial[k] ? q.initial[k] + b * q.H : zeros;
    return history(k, steps.at(s - 1, b));
  }

  // dh before their first step, for the rows [b0, b1) that all started with the step at `here`.
  void finish_rows(const Turn& turn, Place here, long b0, long b1) {
    if (!d.d_initial[0] || !steps.count()) return;
    const long from = turn.share.below(b0), count = turn.share.below(b1) - from;
    const long first = split.by_units ? turn.me.first(out_quads) : 0, last = split.by_units ? turn.me.last(out_quads) : out_quads;
    for (long p = first; p < last; ++p) {
      const long width = std::min(N, q.P - p * N);
      for (long i = 0; i < count; ++i) {
        const long b = turn.share.row(from + i);
        turn.rows[i] = here.da + b * ld_da + Cell::h_first * shape.padded;
        std::fill(turn.a + i * N, turn.a + (i + 1) * N, T(0));
        if (!projected()) std::memcpy(turn.a + i * N, ds[0] + b * shape.padded + p * N, width * sizeof(T));
      }
      product<V>(vectors_of(q.P, p), turn.a, N, turn.a, N, count, h_factor(turn.rows, p), {}, lone());
      for (long i = 0; i < count; ++i)
        std::memcpy(d.d_initial[0] + turn.share.row(from + i) * q.P + p * N, turn.a + i * N, width * sizeof(T));
    }
  }

  // ---- the gradients of the weights and of x, a chunk of steps at a time ----

  void sum_chunk(const Turn& turn, long first, long last) {
    const T* da = da_ring[first / chunk % 2];
    long count = 0;
    for (long s = first; s < last; ++s) count += steps.active(s);
    if (d.dx) sum_x(turn, da, first, last, count);
    if (d.db_x || d.db_h) sum_bias(turn.me, da, count);
    const long x_tiles = d.dW ? (q.I + max_rows - 1) / max_rows : 0, h_tiles = d.dR ? (q.P + max_rows - 1) / max_rows : 0;
    const long tiles = x_tiles + h_tiles;
    const long mine = turn.me.first(tiles), end = turn.me.last(tiles);
    if (mine < std::min(x_tiles, end)) {
      list_inputs(turn, first, last, [this](long s, long b) { return q.x + steps.at(s, b) * q.I; });
      sum_products(turn, dW, R * shape.padded, da + Cell::x_first * shape.padded, ld_da, dW_offset(Cell::x_first),
                   Cell::x_rows * shape.padded, mine * max_rows, std::min(std::min(x_tiles, end) * max_rows, q.I), count);
    }
    if (std::max(mine, x_tiles) < end) {
      list_inputs(turn, first, last, [this](long s, long b) { return old_h(s, b); });
      sum_products(turn, dR, R * shape.padded, da + Cell::h_first * shape.padded, ld_da, dW_offset(Cell::h_first),
                   Cell::h_rows * shape.padded, (std::max(mine, x_tiles) - x_tiles) * max_rows, std::min((end - x_tiles) * max_rows, q.P),
                   count);
    }
    if (d.d_projection) {
      list_inputs(turn, first, last, [this](long s, long b) { return q.unprojected + steps.at(s, b) * q.H; });
      sum_projection(turn, dp_ring[first / chunk % 2], count);
    }
  }
  long dW_offset(int row) const { return row * shape.padded; }

  const T* old_h(long s, long b) const {
    if (steps.starts(s, b)) return q.initial[0] ? q.initial[0] + b * q.P : zeros;
    return q.y + steps.at(s - 1, b) * q.ld_y;
  }

  template <class Input>
  void list_inputs(const Turn& turn, long first, long last, Input input) {
    long k = 0;
    for (long s = first; s < last; ++s)
      for (long b = 0, n = steps.active(s); b < n; ++b) turn.rows[k++] = input(s, b);
  }

  // turn.columns[i - i0][k] = column i of the k-th input in turn.rows.
  void turn_columns(const Turn& turn, long count, long i0, long i1) const {
    for (long k = 0; k < count; ++k) turn.rows[k] += i0;
    transpose<V>(turn.columns, ld_k, turn.rows, count, i1 - i0);
  }

  // sums[i, columns] += sum over the chunk of input_i * da, for i in [i0, i1): inputs on the broadcast side, da on the vector side.
  // Inputs come through turn.rows and are transposed first, so that the tile finds each of them contiguous in k.
  void sum_products(const Turn& turn, T* sums, long ld_sums, const T* da, long ld, long offset, long width, long i0, long i1, long count) {
    turn_columns(turn, count, i0, i1);
    const T** inputs = turn.rows + chunk * q.rows.B;
    for (long i = i0; i < i1; ++i) inputs[i - i0] = turn.columns + (i - i0) * ld_k;
    for (long c = 0; c < width; c += N) {
      const int vectors = int(std::min(N, width - c) / L);
      T* to = sums + i0 * ld_sums + offset + c;
      product<V>(vectors, to, ld_sums, to, ld_sums, i1 - i0, {inputs, da + c, ld, count});
    }
  }

  // dP' [H, P] += h_full' dp. dp's rows are P wide, without padding: the last columns go through a padded copy.
  void sum_projection(const Turn& turn, const T* dp, long count) {
    const long i0 = turn.me.first(q.H), i1 = turn.me.last(q.H);
    turn_columns(turn, count, i0, i1);
    const T** inputs = turn.rows + chunk * q.rows.B;
    for (long i = i0; i < i1; ++i) inputs[i - i0] = turn.columns + (i - i0) * ld_k;
    for (long p = 0; p < out_quads; ++p) {
      const long some = std::min(N, q.P - p * N);
      for (long k = 0; k < count; ++k) {
        std::memcpy(turn.a + k * N, dp + k * q.P + p * N, some * sizeof(T));
        std::fill(turn.a + k * N + some, turn.a + (k + 1) * N, T(0));
      }
      T* to = dP + i0 * out_quads * N + p * N;
      product<V>(max_vectors, to, out_quads * N, to, out_quads * N, i1 - i0, {inputs, turn.a, N, count});
    }
  }

  void sum_bias(Member me, const T* da, long count) {
    const long vectors = R * shape.blocks, last = me.last(vectors);
    long v = me.first(vectors);
    for (; v + 4 <= last; v += 4) add_up<4>(db + v * L, da + v * L, count);  // four sums at once hide the latency of an addition
    for (; v < last; ++v) add_up<1>(db + v * L, da + v * L, count);
  }

  template <int Vectors>
  void add_up(T* sums, const T* da, long count) const {
    V chunk_sum[Vectors] = {};
    for (long k = 0; k < count; k += 32) {  // short sums of short sums lose little to rounding
      V sum[Vectors] = {};
      for (long row = k, end = std::min(k + 32, count); row < end; ++row)
        for (int v = 0; v < Vectors; ++v) sum[v] += load<V>(da + row * ld_da + v * L);
      for (int v = 0; v < Vectors; ++v) chunk_sum[v] += sum[v];
    }
    for (int v = 0; v < Vectors; ++v) store<V>(sums + v * L, load<V>(sums + v * L) + chunk_sum[v]);
  }

  // dx = da W, rows of the chunk dealt to the threads.
  void sum_x(const Turn& turn, const T* da, long first, long last, long count) {
    const long k0 = turn.me.first(count), k1 = turn.me.last(count);
    for (long k = k0; k < k1; ++k) turn.rows[k - k0] = da + k * ld_da + Cell::x_first * shape.padded;
    for (long p = 0; p < in_quads; ++p) {
      const long some = std::min(N, q.I - p * N);
      std::fill(turn.a, turn.a + (k1 - k0) * N, T(0));
      product<V>(vectors_of(q.I, p), turn.a, N, turn.a, N, k1 - k0,
                 {turn.rows, x_panels + p * N * Cell::x_rows * shape.padded, N, Cell::x_rows * shape.padded});
      long k = 0;
      for (long s = first; s < last; ++s) {
        const long n = steps.active(s);
        for (long b = std::max(0l, k0 - k); b < n && k + b < k1; ++b)
          std::memcpy(d.dx + steps.at(s, b) * q.I + p * N, turn.a + (k + b - k0) * N, some * sizeof(T));
        k += n;
      }
    }
  }

  // ---- from the sums to the caller's arrays ----

  // out [rows * H, K] from sums [K, R * padded]: row r of the kernel is block order[r] of the caller.
  void write_matrix(Member me, T* out, const T* sums, long K, const int* order, int rows, int first_row) {
    const long strips = (K + L - 1) / L;
    for (long strip = me.first(strips); strip < me.last(strips); ++strip) {
      const long k0 = strip * L;
      const int n = int(std::min<long>(L, K - k0));
      for (int r = 0; r < rows; ++r) {
        const T* in[L];
        for (int k = 0; k < n; ++k) in[k] = sums + (k0 + k) * R * shape.padded + (first_row + r) * shape.padded;
        transpose_strip<V>(out + order[r] * q.H * K + k0, K, in, n, q.H, false);
      }
    }
  }

  void write(Member me) {
    if (d.dW) write_matrix(me, d.dW, dW, q.I, Cell::x_order, Cell::x_rows, Cell::x_first);
    if (d.dR) write_matrix(me, d.dR, dR, q.P, Cell::h_order, Cell::h_rows, Cell::h_first);
    for (int k = 1; k < Cell::states; ++k)
      for (long b = me.first(q.rows.B); d.d_initial[k] && b < me.last(q.rows.B); ++b)
        std::memcpy(d.d_initial[k] + b * q.H, ds[k] + b * shape.padded, q.H * sizeof(T));
    if (d.d_projection)
      for (long p = me.first(q.P); p < me.last(q.P); ++p)
        for (long u = 0; u < q.H; ++u) d.d_projection[p * q.H + u] = dP[u * out_quads * N + p];
    if (me.rank) return;
    for (int r = 0; r < Cell::x_rows && d.db_x; ++r)
      std::memcpy(d.db_x + Cell::x_order[r] * q.H, db + (Cell::x_first + r) * shape.padded, q.H * sizeof(T));
    for (int r = 0; r < Cell::h_rows && d.db_h; ++r)
      std::memcpy(d.db_h + Cell::h_order[r] * q.H, db + (Cell::h_first + r) * shape.padded, q.H * sizeof(T));
    for (int w = 0; w < Cell::weights && d.d_per_unit; ++w)
      for (long u = 0; u < q.H; ++u) {
        T sum = 0;
        for (long b = 0; b < q.rows.B; b += 32) {  // short sums of short sums, as for the biases
          T some = 0;
          for (long row = b, end = std::min<long>(b + 32, q.rows.B); row < end; ++row)
            some += row_weights[(row * Cell::weights + w) * shape.padded + u];
          sum += some;
        }
        d.d_per_unit[w * q.H + u] = sum;
      }
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
