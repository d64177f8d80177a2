// The steps of a backward pass in chunks, and what is held of them: da and its kin, for a chunk and for the one after it, whose first da
// reach the last step of this one.
#pragma once
#include "operands.hpp"
#include "shape.hpp"
#include "steps.hpp"
#include "workspace.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class Chunks {
  using T = element<V>;
  static constexpr int R = Cell::rows;

 public:
  const long ld_da;  // not a power of two: equal columns of many rows would fall into one set of the cache
  const long ld_rounded = ld_da / 2;

  // steps must outlive this.
  Chunks(const Sequence<T>& q, const Shape<Cell, V>& shape, const Steps& steps)
      : ld_da(R * shape.padded + lanes<V>), q(q), shape(shape), steps(steps) {}

  // A chunk has at most so many rows.
  long rows() const { return steps_each * q.rows.B; }

  void lay_out(Layout& layout) {
    first_steps = layout.take<int64_t>(steps.count() + 1);
    for (T*& ring : da_ring) ring = layout.take<T>(rows() * ld_da);
    for (T*& ring : dp_ring) ring = layout.take<T>(q.projection ? rows() * q.P : 0);
    for (T*& ring : rounded_ring) ring = layout.take<T>(Operands<V>(q).rounded() ? rows() * ld_rounded : 0);
  }

  // A chunk has steps_each steps. Where the rows of a ragged batch get fewer it has more, and as many rows: else most of the time
  // would go into reading and writing the sums.
  void cut() {
    chunk_count = 0;
    for (long s = 0, sum = 0; s < steps.count(); ++s) {
      sum += steps.active(s);
      const bool full = q.rows.ragged() ? sum > rows() : s % steps_each == 0;
      if (s && !full) continue;
      first_steps[chunk_count++] = s;
      sum = steps.active(s);
    }
    first_steps[chunk_count] = steps.count();
  }
  long count() const { return chunk_count; }
  long first(long chunk) const { return first_steps[chunk]; }
  long last(long chunk) const { return first_steps[chunk + 1]; }

  // What is held of a chunk, at row 0 of a step. A chunk's rows lie step after step, without gaps.
  struct Place {
    T* da = nullptr;                                  // [rows, R * padded]
    T* dp = nullptr;                                  // [rows, P]  projected cells: what reached h
    T* rounded = nullptr;                             // [rows, R * padded / 2]  da rounded, where products want it so
    const T *kept = nullptr, *unprojected = nullptr;  // where they are computed once more
  };
  Place place(long chunk) const { return {da_ring[chunk % 2], dp_ring[chunk % 2], rounded_ring[chunk % 2]}; }
  Place moved(Place at, long by) const {
    at.da += by * ld_da, at.dp += by * q.P, at.rounded += by * ld_rounded;
    if (at.kept) at.kept += by * shape.kept_size(), at.unprojected += by * q.H;
    return at;
  }

 private:
  const Sequence<T>& q;
  const Shape<Cell, V>& shape;
  const Steps& steps;
  const long steps_each = steps_of_chunk();

  // Scratch.
  int64_t* first_steps;  // of each, and at last steps.count()
  long chunk_count;
  T *da_ring[2], *dp_ring[2], *rounded_ring[2];

  // Long enough that the sums are not read and written often, short enough that da stays cached.
  long steps_of_chunk() const {
    const long most = double(q.I + columns_of_R<Cell>(q)) * R * shape.padded * sizeof(T) > 4e6 ? 768 : 256, B = std::max<long>(q.rows.B, 1);
    return std::clamp<long>((most + B - 1) / B, 1, std::max<int64_t>(steps.count(), 1));
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
