// The steps of a backward pass in chunks, and the memory for their da: of one chunk, and of the chunk after it, whose first da reach the
// last step of this one.
//
// With memory="low" there is memory for one chunk, and for one step of the chunk after it. The values that are recomputed (recompute.hpp)
// lie where the da that are made of them will be written.
#pragma once
#include "gemm/operands.hpp"
#include "gemm/row_blocks.hpp"
#include "machine/threads.hpp"
#include "machine/workspace.hpp"
#include "sequence/time.hpp"

namespace carrousel::CARROUSEL_TARGET {

// True if the forward pass has saved only the states (memory="low"): the rest is recomputed, and scratch stays small.
template <class Cell, class F>
bool needs_recompute(const Sequence<F>& q) {
  return (Cell::saved && !q.saved && !q.gates) || (q.projection && !q.unprojected);
}

template <class Cell, class V>
class Chunks {
  using T = element<V>;
  static constexpr int R = Cell::rows;

 public:
  const int64_t ld_da;  // not a power of two: equal columns of many rows would map to one set of the cache
  const int64_t ld_rounded = ld_da / 2;
  const bool low_memory;

  // steps must outlive this.
  Chunks(const Sequence<T>& q, const RowBlocks<Cell, V>& shape, const Steps& steps, bool low_memory)
      : ld_da(std::max(R, low_memory ? Cell::saved : 0) * shape.padded + lanes<V>),
        low_memory(low_memory),
        q(q),
        shape(shape),
        steps(steps) {}

  // The most rows that a chunk has.
  int64_t rows() const { return steps_each * q.rows.B; }

  void lay_out(Arena& arena) {
    first_steps = arena.take<int64_t>(steps.count() + 1);
    const int64_t all = rows(), beside = low_memory ? q.rows.B : all;
    for (const int k : {0, 1}) {
      da_ring[k] = arena.take<T>((k ? beside : all) * ld_da);
      dp_ring[k] = arena.take<T>(q.projection && !(k && low_memory) ? all * q.P : 0);
      rounded_ring[k] = arena.take<T>(rounded ? (k ? beside : all) * ld_rounded : 0);
    }
  }

  // A chunk has steps_each steps. Where the rows of a ragged batch become fewer it has more steps, and the same number of rows: otherwise
  // most of the time would go into reading and writing the sums.
  void cut() {
    chunk_count = 0;
    for (int64_t s = 0, sum = 0; s < steps.count(); ++s) {
      sum += steps.active(s);
      const bool full = q.rows.ragged() ? sum > rows() : s % steps_each == 0;
      if (s && !full) continue;
      first_steps[chunk_count++] = s;
      sum = steps.active(s);
    }
    first_steps[chunk_count] = steps.count();
  }
  int64_t count() const { return chunk_count; }
  int64_t first(int64_t chunk) const { return first_steps[chunk]; }
  int64_t last(int64_t chunk) const { return first_steps[chunk + 1]; }

  // The arrays of a chunk, at row 0 of a step. A chunk's rows lie step after step, without gaps.
  struct ChunkRows {
    T* da = nullptr;           // [rows, R * padded]
    T* dp = nullptr;           // [rows, P]  projected cells: the gradient of h
    T* rounded = nullptr;      // [rows, R * padded / 2]  da rounded, for products of bfloat16
    T* unprojected = nullptr;  // [rows, H]  if it is recomputed
  };
  ChunkRows first_rows(int64_t chunk) const {
    const int k = low_memory ? 0 : chunk % 2;
    return {da_ring[k], dp_ring[k], rounded_ring[k]};
  }

  // The rows of a chunk's first step, which the next chunk reads. With memory="low" all members copy them out of the way of its da.
  ChunkRows set_aside(Member me, ChunkRows first, int64_t count) const {
    if (!low_memory) return first;
    for (int64_t b = me.first(count); b < me.last(count); ++b) {
      if (rounded)
        std::memcpy(rounded_ring[1] + b * ld_rounded, first.rounded + b * ld_rounded, ld_rounded * sizeof(T));
      else
        std::memcpy(da_ring[1] + b * ld_da, first.da + b * ld_da, ld_da * sizeof(T));
    }
    return {da_ring[1], nullptr, rounded_ring[1]};
  }
  ChunkRows shift(ChunkRows at, int64_t by) const {
    at.da += by * ld_da;
    at.dp += by * q.P;
    at.rounded += by * ld_rounded;
    if (at.unprojected) at.unprojected += by * q.H;
    return at;
  }

 private:
  const Sequence<T>& q;
  const RowBlocks<Cell, V>& shape;
  const Steps& steps;
  const bool rounded = Operands<V>(q).rounded();
  const int64_t steps_each = steps_of_chunk();

  // Scratch.
  int64_t* first_steps;                          // of each chunk; the last is steps.count()
  int64_t chunk_count;
  T *da_ring[2], *dp_ring[2], *rounded_ring[2];  // this chunk and the next alternate; memory="low": the second for one step

  // Long enough that the sums are not read and written often, short enough that da stays in the cache.
  int64_t steps_of_chunk() const {
    const int64_t most = double(q.I + columns_of_R<Cell>(q)) * R * shape.padded * sizeof(T) > 4e6 ? 768 : 256,
                  B = std::max<int64_t>(q.rows.B, 1);
    return std::clamp<int64_t>((most + B - 1) / B, 1, std::max<int64_t>(steps.count(), 1));
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
