// Backward over a whole sequence (backpropagation through time, exact).
//
//   for each step, last to first:  dh = dy + da R        da of the step after
//                                  da, ds = cell's derivative (dh, ds)
//   for each chunk of steps:       dx = da W;  dW += da' x;  dR += da' h;  db += sum of da
//
// Where the forward pass has kept the states only, a chunk begins with computing the rest of it once more (recompute.hpp).
//
// da is never stored for the whole sequence: a chunk of it is turned into gradients of the weights (sums.hpp) while it is still in the
// cache, which saves writing and twice reading the largest array of the pass.
#pragma once
#include "fed_back.hpp"
#include "noise.hpp"
#include "pack.hpp"
#include "padding.hpp"
#include "recompute.hpp"
#include "split.hpp"
#include "steps.hpp"
#include "sums.hpp"
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
      : q(q),
        d(d),
        shape(q.H),
        operands(q),
        steps(q.rows),
        split(choose_split<Cell>(q)),
        masks(q.noise),
        fed_back(q, steps),
        sums(q, d, steps, fed_back, ld_da, chunk_steps * q.rows.B),
        recompute(q, steps, fed_back, chunk_steps * q.rows.B) {}

  void run() {
    Workspace scratch([this](Layout& layout) { lay_out(layout); });
    steps.locate(places);
    cut_into_chunks();
    std::fill(zeros, zeros + zero_count(), T(0));
    team(split.threads, [this](Member me) { work(me); });
  }

 private:
  const Sequence<T>& q;
  const Gradients<T>& d;
  const Shape<Cell, V> shape;
  const Operands<V> operands;
  Steps steps;
  const Split split;
  const Masks<Cell, V> masks;
  FedBack<V> fed_back;
  static constexpr long N = max_vectors * L;  // columns of a full panel
  const long ld_da = R * shape.padded + L;    // not a power of two: equal columns of many rows would fall into one set of the cache
  const long ld_rounded = ld_da / 2;
  const long quads = (shape.padded + N - 1) / N, out_quads = (q.P + N - 1) / N;
  static constexpr long groups_in_quad = max_vectors / Shape<Cell, V>::blocks_in_group;
  const long chunk_steps = steps_of_chunk();
  Sums<Cell, V> sums;
  Recompute<Cell, V> recompute;

  // Scratch.
  int64_t *places, *chunks;         // chunks: the first step of each, and at last count()
  long chunk_count;
  T *zeros, *per_unit;
  T *h_panels, *projection_panels;  // R and P by columns
  T* da_ring[2];                    // [chunk rows, R * padded]  this chunk's da, and the chunk's before
  T* dp_ring[2];                    // [chunk rows, P]           projected cells: what reached h
  T* rounded_ring[2];               // [chunk rows, R * padded / 2]  da rounded, where products want it so
  T* rounded;                       // dp of a step, rounded
  T* ds[max_states];                // [B, padded]  what reached each state before the step
  T* row_weights;                   // [B, weights, padded]  per-unit weight gradients, a row of the batch each
  T *accumulators, *reached;
  const T** pointers;
  int64_t* restored;

  // Long enough that the sums are not read and written often, short enough that da stays cached.
  long steps_of_chunk() const {
    const long rows = double(q.I + q.P) * R * shape.padded * sizeof(T) > 4e6 ? 768 : 256, B = std::max<long>(q.rows.B, 1);
    return std::clamp<long>((rows + B - 1) / B, 1, std::max<int64_t>(steps.count(), 1));
  }
  // A chunk has chunk_steps steps. Where the rows of a ragged batch get fewer it has more, and as many rows: else most of the time
  // would go into reading and writing the sums.
  void cut_into_chunks() {
    const long most = chunk_steps * q.rows.B;
    chunk_count = 0;
    for (long s = 0, rows = 0; s < steps.count(); ++s) {
      rows += steps.active(s);
      const bool full = q.rows.ragged() ? rows > most : s % chunk_steps == 0;
      if (s && !full) continue;
      chunks[chunk_count++] = s;
      rows = steps.active(s);
    }
    chunks[chunk_count] = steps.count();
  }
  bool projected() const { return q.projection != nullptr; }
  long zero_count() const { return std::max<long>({q.P, q.H, Cell::h_rows * shape.padded}); }  // a state, or a row of da

  void lay_out(Layout& layout) {
    const long B = q.rows.B, rows = chunk_steps * B;
    places = layout.take<int64_t>(steps.scratch());
    chunks = layout.take<int64_t>(steps.count() + 1);
    zeros = layout.take<T>(zero_count());
    per_unit = layout.take<T>(Cell::weights * shape.padded);
    h_panels = layout.take<T>(out_quads * h_panel_size());
    projection_panels = layout.take<T>(projected() ? quads * N * operands.count(q.P) : 0);
    for (T*& ring : da_ring) ring = layout.take<T>(rows * ld_da);
    for (T*& ring : dp_ring) ring = layout.take<T>(projected() ? rows * q.P : 0);
    for (T*& ring : rounded_ring) ring = layout.take<T>(operands.rounded() ? rows * ld_rounded : 0);
    rounded = layout.take<T>(projected() ? split.threads * operands.room(B, q.P) : 0);
    for (int k = 0; k < Cell::states; ++k) ds[k] = layout.take<T>(B * shape.padded);
    row_weights = layout.take<T>(B * Cell::weights * shape.padded);
    accumulators = layout.take<T>(split.threads * B * N);
    fed_back.lay_out(layout);
    reached = layout.take<T>(split.threads * fed_back.rows() * N);
    pointers = layout.take<const T*>(split.threads * B);
    restored = layout.take<int64_t>(q.rows.resets ? split.threads * B : 0);
    sums.lay_out(layout, split.threads);
    recompute.lay_out(layout, split.threads);
  }

  struct Turn {
    Member me;
    Share share;
    long quad_first, quad_last;  // of the units
    T* a;            // [B, N]
    const T** rows;  // [B]
    int64_t* restored;  // [B]
    T* rounded;
    T* reached;         // [B, N]
  };

  void work(Member me) {
    prepare(me);
    me.meet();
    Turn turn{me,
              split.share(me, q.rows),
              0,
              quads,
              accumulators + me.rank * q.rows.B * N,
              pointers + me.rank * q.rows.B,
              restored + me.rank * q.rows.B,
              rounded + me.rank * operands.room(q.rows.B, q.P),
              reached + me.rank * fed_back.rows() * N};
    if (split.by_units) {
      turn.quad_first = me.first(quads);
      turn.quad_last = me.last(quads);
    }
    Place after{};
    for (long c = chunk_count - 1; c >= 0; --c) {
      const long first = chunks[c], last = chunks[c + 1];
      recompute.run(me, turn.share, turn.quad_first * groups_in_quad, std::min(turn.quad_last * groups_in_quad, shape.groups), c, first,
                    last);
      Place here = place(c);
      for (long s = first; s < last; ++s) here = moved(here, steps.active(s));
      for (long s = last - 1; s >= first; --s) {
        here = moved(here, -steps.active(s));
        step(turn, s, here, after);
        after = here;
      }
      me.meet();
      // This half of the ring is read; the next steps write the other, which all members have left before they met.
      sums.add(me, place(c).da, place(c).rounded, place(c).dp, place(c).unprojected, first, last);
    }
    restore(turn, 0, after);
    finish_rows(turn, 0, after, 0, steps.active(0));
    me.meet();
    sums.write(me);
    write_states(me);
    put_padding(me, q.rows, d.dx, q.I, q.I, T(0));
  }

  void prepare(Member me) {
    fed_back.prepare(me);
    for (long p = me.first(out_quads); p < me.last(out_quads); ++p)
      pack_columns(operands, h_panels + p * h_panel_size(), N, q.R, q.P, Cell::h_order, Cell::h_rows, q.H, shape.padded, p * N);
    static constexpr int only[] = {0};
    for (long p = me.first(quads); projected() && p < me.last(quads); ++p)
      pack_columns(operands, projection_panels + p * N * operands.count(q.P), N, q.projection, q.H, only, 1, q.P, q.P, p * N);
    if (me.rank == 0 && Cell::weights) pack_rows(per_unit, q.per_unit, Cell::weights, q.H, shape.padded);
    me.clear(row_weights, q.rows.B * Cell::weights * shape.padded);
    for (int k = 0; k < Cell::states; ++k)
      if (d.d_restored[k]) me.clear(d.d_restored[k], q.rows.B * (k ? q.H : q.P));
    sums.prepare(me);
    recompute.prepare(me);
  }

  // What is held of a chunk, at row 0 of a step. A chunk's rows lie step after step, without gaps.
  struct Place {
    T *da = nullptr, *dp = nullptr, *rounded = nullptr;
    const T *kept = nullptr, *unprojected = nullptr;  // where they are computed once more
  };
  Place place(long chunk) const {
    Place at{da_ring[chunk % 2], dp_ring[chunk % 2], rounded_ring[chunk % 2]};
    if (recompute.needed()) at.kept = recompute.kept_of_chunk(), at.unprojected = recompute.unprojected_of_chunk(chunk);
    return at;
  }
  Place moved(Place at, long rows) const {
    at.da += rows * ld_da, at.dp += rows * q.P, at.rounded += rows * ld_rounded;
    if (recompute.needed()) at.kept += rows * shape.kept_size(), at.unprojected += rows * q.H;
    return at;
  }

  // How many vectors the p-th panel of `columns` columns really has.
  int vectors_of(long columns, long p) const { return int((std::min(N, columns - p * N) + L - 1) / L); }
  Factor<T> h_factor(const T* const* rows, long p) const {
    return {rows, h_panels + p * h_panel_size(), N, operands.count(Cell::h_rows * shape.padded)};
  }
  long h_panel_size() const { return N * operands.count(Cell::h_rows * shape.padded); }

  // What of row b's da goes through R, as an operand.
  const T* through_R(Place here, long b) const {
    if (operands.rounded()) return here.rounded + b * ld_rounded + Cell::h_first * shape.padded / 2;
    return here.da + b * ld_da + Cell::h_first * shape.padded;
  }

  // The row of da at step s that reaches the step before: none where the states were restored in between.
  const T* reaching(long s, long b, Place here) const { return steps.restarts(s, b) ? zeros : through_R(here, b); }

  // turn.a [count, N] += what reaches h through R, for the p-th panel of columns: the i-th row of da in turn.rows is row_of(i)'s.
  template <class RowOf>
  void add_through_R(const Turn& turn, long p, long count, RowOf row_of) {
    const int vectors = vectors_of(q.P, p);
    const Factor<T> by_R = h_factor(turn.rows, p);
    if (!fed_back.masked()) return product<V>(vectors, turn.a, N, turn.a, N, count, by_R, {}, operands.terms());
    std::fill(turn.reached, turn.reached + count * N, T(0));
    product<V>(vectors, turn.reached, N, turn.reached, N, count, by_R, {}, operands.terms());
    for (long i = 0; i < count; ++i) fed_back.add_times(turn.a + i * N, turn.reached + i * N, row_of(i), p * N, vectors * L);
  }

  // What reaches h at step s from outside and from the step after: turn.a [count, N] for the columns [p * N, ...) of P.
  void gather_dh(const Turn& turn, long s, Place after, long p, long count) {
    const int vectors = vectors_of(q.P, p);
    const long continuing = turn.share.below(std::min(steps.active(s), steps.active(s + 1)));
    for (long i = 0; i < count; ++i) {
      const long b = turn.share.row(i);
      const T* dy = d.dy ? d.dy + steps.at(s, b) * d.ld_dy : nullptr;
      const T* d_final = i >= continuing && d.d_final[0] ? d.d_final[0] + steps.row(b) * q.P : nullptr;
      for (int v = 0; v < vectors; ++v) {
        const long column = p * N + v * L;
        const int n = int(std::min<long>(L, q.P - column));
        V sum = dy ? load_some<V>(dy + column, n) : V{};
        if (d_final) sum += load_some<V>(d_final + column, n);
        if (i < continuing && !projected()) sum += load<V>(ds[0] + b * shape.padded + column);
        store<V>(turn.a + i * N + v * L, sum);
      }
      if (i < continuing) turn.rows[i] = reaching(s + 1, b, after);
    }
    if (continuing) add_through_R(turn, p, continuing, [&](long i) { return turn.share.row(i); });
  }

  void step(const Turn& turn, long s, Place here, Place after) {
    restore(turn, s + 1, after);
    if (steps.active(s + 1) > steps.active(s)) finish_rows(turn, s + 1, after, steps.active(s), steps.active(s + 1));
    const long count = turn.share.below(steps.active(s));
    if (projected()) {
      unproject(turn, s, here, after, count);
      for (long i = 0; i < count; ++i) turn.rows[i] = here.dp + turn.share.row(i) * q.P;
      operands.round(turn.rows, count, turn.rounded, q.P);
    }
    for (long p = turn.quad_first; p < turn.quad_last; ++p) {
      if (projected())
        project_back(turn, p, count);
      else
        gather_dh(turn, s, after, p, count);
      const long first = p * max_vectors, last = std::min(first + max_vectors, shape.blocks);
      for (long i = 0; i < count; ++i) {
        const long b = turn.share.row(i);
        for (long block = first; block < last; ++block) cell(s, b, block, load<V>(turn.a + i * N + (block - first) * L), here);
        round_da(here, b, first * L, last * L);
      }
    }
    if (split.by_units) turn.me.meet();
  }

  // da of row b becomes an operand: the units [first, last), which are whole vectors.
  CARROUSEL_INLINE void round_da(Place here, long b, long first, long last) const {
    if (!operands.rounded()) return;
    for (int r = 0; r < R; ++r) {
      const T* row = here.da + b * ld_da + r * shape.padded + first;
      operands.round(&row, 1, here.rounded + b * ld_rounded + (r * shape.padded + first) / 2, last - first);
    }
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

  // turn.a [count, N] = dp P, the rows of dp being listed.
  void project_back(const Turn& turn, long p, long count) {
    std::fill(turn.a, turn.a + count * N, T(0));
    const long K = operands.count(q.P);
    product<V>(vectors_of(q.H, p), turn.a, N, turn.a, N, count, {turn.rows, projection_panels + p * N * K, N, K}, {},
               operands.terms_of_many());
  }

  // The pointwise step, backward, of row b on one block of units.
  CARROUSEL_INLINE void cell(long s, long b, long block, V dh, Place here) {
    const long unit = block * L, at = steps.at(s, b), row = steps.row(b);
    const int n = shape.lanes_of(block);
    const Origin origin = steps.origin(s, b);
    const bool ends = steps.ends(s, b);
    V keep[Cell::kept + 1], old[Cell::states], now[Cell::states], weights[Cell::weights + 1], d_now[Cell::states];
    V d_rows[R], d_old[Cell::states], d_weights[Cell::weights + 1], noise[Cell::masks + 1];
    const T* kept = q.gates ? nullptr : kept_row(s, b, here) + shape.kept_at(block);
    for (int k = 0; k < Cell::kept; ++k)
      keep[k] = q.gates ? load_some<V>(q.gates[k] + at * q.H + unit, n) : load<V>(kept + k * shape.kept_stride(block));
    d_now[0] = dh;
    for (int k = 0; k < Cell::states; ++k) {
      if (Cell::reads_old[k] && k == 0 && projected())
        old[k] = V{};  // as forward had it
      else if (Cell::reads_old[k])
        old[k] = load_some<V>(old_state(k, origin, s, b) + unit, n);
      if (Cell::reads_new[k]) now[k] = load_some<V>((k || !projected() ? history(k, s, b) : unprojected_row(s, b, here)) + unit, n);
      if (k) {
        d_now[k] =
            ends ? (d.d_final[k] ? load_some<V>(d.d_final[k] + row * q.H + unit, n) : V{}) : load<V>(ds[k] + b * shape.padded + unit);
        if (d.d_history[k]) d_now[k] += load_some<V>(d.d_history[k] + at * q.H + unit, n);
      }
    }
    for (int w = 0; w < Cell::weights; ++w) weights[w] = load<V>(per_unit + w * shape.padded + unit);
    if constexpr (Cell::masks > 0) masks.draw(noise, steps.t(s), steps.number(q.noise, b), unit);
    if (d.d_gates) {
      V d_keep[Cell::kept + 1] = {};
      for (int k = 0; k < Cell::kept; ++k)
        if (d.d_gates[k]) d_keep[k] = load_some<V>(d.d_gates[k] + at * q.H + unit, n);
      Cell::backward_through_gates(keep, old, now, weights, noise, d_now, d_keep, d_rows, d_old, d_weights);
    } else {
      Cell::backward(keep, old, now, weights, noise, d_now, d_rows, d_old, d_weights);
    }
    // Units beyond H have states of zero, of which a cell that divides by one makes NaN: those must not meet the weights' zeros.
    for (int r = 0; r < R && n < L; ++r) d_rows[r] = first_lanes<V>(d_rows[r], n);
    for (int r = 0; r < R; ++r) store<V>(here.da + b * ld_da + r * shape.padded + unit, d_rows[r]);
    if (origin == Origin::restored) add_restored(row, unit, n, d_old);
    for (int k = 0; k < Cell::states; ++k) store<V>(ds[k] + b * shape.padded + unit, d_old[k]);
    for (int w = 0; w < Cell::weights; ++w) {
      T* sum = row_weights + (b * Cell::weights + w) * shape.padded + unit;
      store<V>(sum, load<V>(sum) + d_weights[w]);
    }
  }

  // Restored states: their gradients go there, and none to the step before.
  void add_restored(long row, long unit, int n, V* d_old) const {
    for (int k = 0; k < Cell::states; ++k) {
      T* sum = d.d_restored[k] + row * q.H + unit;
      if (d.d_restored[k] && !(k == 0 && projected())) store_some<V>(sum, load_some<V>(sum, n) + d_old[k], n);
      d_old[k] = V{};
    }
  }

  const T* kept_row(long s, long b, Place here) const {
    return (q.kept ? q.kept + steps.kept_at(s, b) * shape.kept_size() : here.kept + b * shape.kept_size());
  }
  const T* unprojected_row(long s, long b, Place here) const {
    return q.unprojected ? q.unprojected + steps.kept_at(s, b) * q.H : here.unprojected + b * q.H;
  }
  // The state k after step s; of a projected cell not h, which such a cell does not read.
  const T* history(int k, long s, long b) const {
    if (k) return q.history[k] + (q.histories_shown ? steps.at(s, b) : steps.kept_at(s, b)) * q.H;
    return q.y + steps.at(s, b) * q.ld_y;
  }
  const T* old_state(int k, Origin origin, long s, long b) const {
    if (origin == Origin::before) return history(k, s - 1, b);
    const T* states = (origin == Origin::initial ? q.initial : q.restored)[k];
    return states ? states + steps.row(b) * q.H : zeros;
  }

  // dh before their first step, for the rows [b0, b1) that all started with step s, whose da are at `here`.
  void finish_rows(const Turn& turn, long s, Place here, long b0, long b1) {
    if (!d.d_initial[0] || !steps.count()) return;
    const long from = turn.share.below(b0), count = turn.share.below(b1) - from;
    const long first = split.by_units ? turn.me.first(out_quads) : 0, last = split.by_units ? turn.me.last(out_quads) : out_quads;
    for (long p = first; p < last; ++p) {
      const long width = std::min(N, q.P - p * N);
      for (long i = 0; i < count; ++i) {
        const long b = turn.share.row(from + i);
        turn.rows[i] = reaching(s, b, here);
        std::fill(turn.a + i * N, turn.a + (i + 1) * N, T(0));
        if (!projected()) std::memcpy(turn.a + i * N, ds[0] + b * shape.padded + p * N, width * sizeof(T));
      }
      add_through_R(turn, p, count, [&](long i) { return turn.share.row(from + i); });
      for (long i = 0; i < count; ++i)
        std::memcpy(d.d_initial[0] + steps.row(turn.share.row(from + i)) * q.P + p * N, turn.a + i * N, width * sizeof(T));
    }
  }

  // What reached the restored h through R at step s, for each row where it was restored.
  void restore(const Turn& turn, long s, Place here) {
    if (!q.rows.resets || !d.d_restored[0] || s >= steps.count()) return;
    long count = 0;
    for (long i = 0, n = turn.share.below(steps.active(s)); i < n; ++i)
      if (steps.restarts(s, turn.share.row(i))) turn.restored[count++] = turn.share.row(i);
    if (!count) return;
    for (long i = 0; i < count; ++i) turn.rows[i] = through_R(here, turn.restored[i]);
    const long first = split.by_units ? turn.me.first(out_quads) : 0, last = split.by_units ? turn.me.last(out_quads) : out_quads;
    for (long p = first; p < last; ++p) {
      std::fill(turn.a, turn.a + count * N, T(0));
      add_through_R(turn, p, count, [&](long i) { return turn.restored[i]; });
      for (long i = 0; i < count; ++i) {
        T* sum = d.d_restored[0] + steps.row(turn.restored[i]) * q.P + p * N;
        for (long c = 0, some = std::min(N, q.P - p * N); c < some; ++c) sum[c] += turn.a[i * N + c];
      }
    }
  }

  void write_states(Member me) const {
    const long stepped = steps.rows_with_steps();
    for (int k = 0; k < Cell::states; ++k)
      for (long b = me.first(q.rows.B); d.d_initial[k] && b < me.last(q.rows.B); ++b) {
        const long width = k ? q.H : q.P;
        T* to = d.d_initial[k] + steps.row(b) * width;
        if (b < stepped && k) std::memcpy(to, ds[k] + b * shape.padded, q.H * sizeof(T));
        if (b >= stepped) std::memcpy(to, d.d_final[k] ? d.d_final[k] + steps.row(b) * width : zeros, width * sizeof(T));
      }
    if (me.rank) return;
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
