// The addresses of a row's states before and after a step.
#pragma once
#include "carrousel/sequence.hpp"
#include "machine/simd.hpp"
#include "machine/threads.hpp"
#include "machine/workspace.hpp"
#include "sequence/time.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class T>
class States {
 public:
  // Both must outlive this.
  States(const Sequence<T>& q, const Steps& steps) : q(q), steps(steps) {}

  void lay_out(Arena& arena) { zeros_ = arena.take<T>(std::max(q.P, q.H)); }
  // Clears this member's part.
  void prepare(Member me) const { me.clear(zeros_, std::max(q.P, q.H)); }

  const T* zeros() const { return zeros_; }  // [max(P, H)]
  int64_t width(int k) const { return k ? q.H : q.P; }

  // State k with which row b starts, or starts again after a reset.
  CARROUSEL_INLINE const T* start(int k, Origin origin, int64_t b) const {
    const T* states = (origin == Origin::initial ? q.initial : q.restored)[k];
    return states ? states + steps.row(b) * width(k) : zeros_;
  }

  // State k before step s during the forward pass: all but h are updated in place.
  CARROUSEL_INLINE const T* on_the_way(int k, Origin origin, int64_t s, int64_t b) const {
    if (origin != Origin::before) return start(k, origin, b);
    return k ? q.final[k] + steps.row(b) * q.H : q.y + steps.at(s - 1, b) * q.ld_y;
  }

  // State k after step s, and before it, once the forward pass is done and its history is saved.
  CARROUSEL_INLINE const T* after(int k, int64_t s, int64_t b) const {
    if (k) return q.history[k] + (q.histories_shown ? steps.at(s, b) : steps.saved_at(s, b)) * q.H;
    return q.y + steps.at(s, b) * q.ld_y;
  }
  CARROUSEL_INLINE const T* before(int k, Origin origin, int64_t s, int64_t b) const {
    return origin == Origin::before ? after(k, s - 1, b) : start(k, origin, b);
  }

  // The gradients of the initial states: reached(k, b) [H], except for h, which gets its gradient through R; rows without steps get
  // those of the final states.
  template <int count, class Reached>
  void write_gradients(Member me, const Gradients<T>& d, Reached reached) const {
    const int64_t stepped = steps.rows_with_steps();
    for (int k = 0; k < count; ++k)
      for (int64_t b = me.first(q.rows.B); d.d_initial[k] && b < me.last(q.rows.B); ++b) {
        const size_t at = steps.row(b) * width(k), bytes = width(k) * sizeof(T);
        if (b >= stepped)
          std::memcpy(d.d_initial[k] + at, d.d_final[k] ? d.d_final[k] + at : zeros_, bytes);
        else if (k)
          std::memcpy(d.d_initial[k] + at, reached(k, b), bytes);
      }
  }

 private:
  const Sequence<T>& q;
  const Steps& steps;
  T* zeros_;
};

}  // namespace carrousel::CARROUSEL_TARGET
