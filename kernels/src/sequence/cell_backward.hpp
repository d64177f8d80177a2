// The pointwise step, backward: from dh and ds after a step to da, and to ds before it; and the gradients of per-unit weights.
#pragma once
#include "gemm/pack.hpp"
#include "machine/random.hpp"
#include "machine/threads.hpp"
#include "machine/workspace.hpp"
#include "sequence/backward_context.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class CellBackward {
  using T = element<V>;
  static constexpr int L = lanes<V>;
  static constexpr int R = Cell::rows;

  const Sequence<T>& q;
  const Gradients<T>& d;
  const RowBlocks<Cell, V>& shape;
  const Steps& steps;
  const States<T>& states;
  const Chunks<Cell, V>& chunks;
  const CellMasks<Cell, V> masks;

 public:
  using ChunkRows = typename Chunks<Cell, V>::ChunkRows;

  explicit CellBackward(const BackwardContext<Cell, V>& of)
      : q(of.q), d(of.d), shape(of.shape), steps(of.steps), states(of.states), chunks(of.chunks), masks(q.masks) {}

  void lay_out(Arena& arena) {
    per_unit = arena.take<T>(Cell::weights * shape.padded);
    for (int k = 0; k < Cell::states; ++k) ds[k] = arena.take<T>(q.rows.B * shape.padded);
    row_weights = arena.take<T>(q.rows.B * Cell::weights * shape.padded);
  }

  void prepare(Member me) {
    if (me.rank == 0 && Cell::weights) pack_rows(per_unit, q.per_unit, Cell::weights, q.H, shape.padded);
    me.clear(row_weights, q.rows.B * Cell::weights * shape.padded);
    for (int k = 0; k < Cell::states; ++k)
      if (d.d_restored[k]) me.clear(d.d_restored[k], q.rows.B * states.width(k));
  }

  // [padded]  the gradient of state k of row b before the step
  T* reached(int k, int64_t b) const { return ds[k] + b * shape.padded; }

  // The addresses that a step reads and writes for one row, looked up once for all of its units: the compiler must assume that each
  // store changes the pointers and would look them up again.
  struct StepRow {
    int64_t s, b, at, row;
    Origin origin;
    const T *old[Cell::states], *now[Cell::states], *d_now[Cell::states], *d_history[Cell::states], *saved;
    T *ds[Cell::states], *da, *row_weights;
  };

  CARROUSEL_INLINE StepRow find_step_row(int64_t s, int64_t b, ChunkRows here) const {
    StepRow p;
    p.s = s;
    p.b = b;
    p.at = steps.at(s, b);
    p.row = steps.row(b);
    p.origin = steps.origin(s, b);
    const bool ends = steps.ends(s, b);
    for (int k = 0; k < Cell::states; ++k) {
      p.ds[k] = ds[k] + b * shape.padded;
      p.old[k] = !Cell::reads_old[k] ? nullptr : k || !q.projection ? states.before(k, p.origin, s, b) : states.zeros();  // as in forward
      p.now[k] = !Cell::reads_new[k] ? nullptr : k || !q.projection ? states.after(k, s, b) : unprojected_row(s, b, here);
      p.d_now[k] = !ends ? p.ds[k] : d.d_final[k] ? d.d_final[k] + p.row * q.H : states.zeros();
      p.d_history[k] = d.d_history[k] ? d.d_history[k] + p.at * q.H : nullptr;
    }
    p.da = here.da + b * chunks.ld_da;
    p.saved = q.saved ? q.saved + steps.saved_at(s, b) * shape.saved_size() : nullptr;
    p.row_weights = row_weights + b * Cell::weights * shape.padded;
    return p;
  }

  // On one block of units.
  CARROUSEL_INLINE void step(const StepRow& p, int64_t block, V dh) {
    if (q.gates) return step_by_gates(p, block, dh);
    Looked l = look(p, block, dh);
    V save[Cell::saved + 1], d_rows[R], d_old[Cell::states], d_weights[Cell::weights + 1];
    if (p.saved) {
      for (int k = 0; k < Cell::saved; ++k) save[k] = load<V>(p.saved + shape.saved_at(block) + k * shape.saved_stride(block));
    } else {  // recomputed: each value lies where da of some row will be written
      for (int k = 0; k < Cell::saved; ++k) save[k] = load<V>(p.da + k * shape.padded + block * L);
    }
    Cell::backward(save, l.old, l.now, l.weights, l.mask, l.d_now, d_rows, d_old, d_weights);
    put(p, block, d_rows, d_old, d_weights);
  }

  // The gradients of the initial states, without what reaches h through R; and those of per-unit weights.
  void write(Member me) const {
    states.template write_gradients<Cell::states>(me, d, [this](int k, int64_t b) { return reached(k, b); });
    if (me.rank) return;
    for (int w = 0; w < Cell::weights && d.d_per_unit; ++w)
      for (int64_t u = 0; u < q.H; ++u) {
        T sum = 0;
        for (int64_t b = 0; b < q.rows.B; b += 32) {  // short sums of short sums, as for the biases
          T some = 0;
          for (int64_t row = b, end = std::min<int64_t>(b + 32, q.rows.B); row < end; ++row)
            some += row_weights[(row * Cell::weights + w) * shape.padded + u];
          sum += some;
        }
        d.d_per_unit[w * q.H + u] = sum;
      }
  }

 private:
  // Scratch.
  T* per_unit;
  T* ds[max_states];  // [B, padded]  the gradient of each state before the step
  T* row_weights;  // [B, weights, padded]  gradients of per-unit weights, one row of the batch each

  // What a step reads besides the values of the rows.
  struct Looked {
    V old[Cell::states], now[Cell::states], d_now[Cell::states], weights[Cell::weights + 1], mask[Cell::masks + 1];
  };

  CARROUSEL_INLINE Looked look(const StepRow& p, int64_t block, V dh) const {
    const int64_t unit = block * L;
    const int n = shape.lanes_of(block);
    Looked l;
    l.d_now[0] = dh;
    for (int k = 0; k < Cell::states; ++k) {
      if (Cell::reads_old[k]) l.old[k] = load_n<V>(p.old[k] + unit, n);
      if (Cell::reads_new[k]) l.now[k] = load_n<V>(p.now[k] + unit, n);
      if (!k) continue;
      l.d_now[k] = load_n<V>(p.d_now[k] + unit, n);
      if (p.d_history[k]) l.d_now[k] += load_n<V>(p.d_history[k] + unit, n);
    }
    for (int w = 0; w < Cell::weights; ++w) l.weights[w] = load<V>(per_unit + w * shape.padded + unit);
    if constexpr (Cell::masks > 0) masks.sample(l.mask, steps.t(p.s), steps.number(q.masks, p.b), unit);
    return l;
  }

  CARROUSEL_INLINE void put(const StepRow& p, int64_t block, V* d_rows, V* d_old, const V* d_weights) const {
    const int64_t unit = block * L;
    const int n = shape.lanes_of(block);
    // Units beyond H have states of zero, and a cell that divides by a state makes NaN of them: it must not meet the zeros of the
    // weights.
    for (int r = 0; r < R && n < L; ++r) d_rows[r] = mask_first_n<V>(d_rows[r], n);
    for (int r = 0; r < R; ++r) store<V>(p.da + r * shape.padded + unit, d_rows[r]);
    if (p.origin == Origin::restored) add_restored(p.row, unit, n, d_old);
    for (int k = 0; k < Cell::states; ++k) store<V>(p.ds[k] + unit, d_old[k]);
    for (int w = 0; w < Cell::weights; ++w) {
      T* sum = p.row_weights + w * shape.padded + unit;
      store<V>(sum, load<V>(sum) + d_weights[w]);
    }
  }

  // For callers that receive the gates, which are then saved in place of the kernel's own order. A function of its own, because
  // inlined it took registers from the other.
  [[gnu::noinline]] void step_by_gates(StepRow p, int64_t block, V dh) {
    const int64_t at = p.at * q.H + block * L;
    const int n = shape.lanes_of(block);
    const Looked l = look(p, block, dh);
    V d_rows[R], d_old[Cell::states], d_weights[Cell::weights + 1];
    if (d.d_gates) {
      V show[Cell::shown + 1], d_show[Cell::shown + 1] = {};
      for (int k = 0; k < Cell::shown; ++k) {
        show[k] = load_n<V>(q.gates[k] + at, n);
        if (d.d_gates[k]) d_show[k] = load_n<V>(d.d_gates[k] + at, n);
      }
      Cell::backward_through_gates(show, l.old, l.now, l.weights, l.mask, l.d_now, d_show, d_rows, d_old, d_weights);
    } else {
      V save[Cell::saved + 1];
      for (int k = 0; k < Cell::saved; ++k) save[k] = load_n<V>(q.gates[Cell::saved_places[k]] + at, n);
      Cell::backward(save, l.old, l.now, l.weights, l.mask, l.d_now, d_rows, d_old, d_weights);
    }
    put(p, block, d_rows, d_old, d_weights);
  }

  // Restored states: their gradients are added there, and none reaches the step before.
  void add_restored(int64_t row, int64_t unit, int n, V* d_old) const {
    for (int k = 0; k < Cell::states; ++k) {
      T* sum = d.d_restored[k] + row * q.H + unit;
      if (d.d_restored[k] && !(k == 0 && q.projection)) store_n<V>(sum, load_n<V>(sum, n) + d_old[k], n);
      d_old[k] = V{};
    }
  }

  const T* unprojected_row(int64_t s, int64_t b, ChunkRows here) const {
    return q.unprojected ? q.unprojected + steps.saved_at(s, b) * q.H : here.unprojected + b * q.H;
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
