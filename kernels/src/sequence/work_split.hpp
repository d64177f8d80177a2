// How a sequence is split among threads, and how many steps of W x are computed at once. No bit depends on it, only speed.
#pragma once
#include <algorithm>
#include "carrousel/sequence.hpp"
#include "gemm/row_blocks.hpp"
#include "machine/threads.hpp"
#include "sequence/time.hpp"

namespace carrousel::CARROUSEL_TARGET {

struct WorkSplit {
  int threads = 1;
  bool by_units = false;  // else by rows of the batch
  int64_t steps_at_once = 1;

  Share share(Member me, const Rows& rows) const {
    if (by_units) return {0, 1, rows.B};
    if (rows.batch_sizes || rows.ragged()) return Share::dealt(me.rank, me.members, rows.B);
    return {me.first(rows.B), 1, me.last(rows.B) - me.first(rows.B)};
  }
};

// With less arithmetic than this, waking a second thread costs more than it saves (about 10 us of one core).
inline constexpr double worth_a_thread = 1.5e6;
// A barrier at each step costs about 0.3 us: the work between two barriers must take several times that.
inline constexpr double worth_a_barrier = 2e5;
// Weights up to this size stay in a core's own cache from step to step.
inline constexpr double cached_bytes = 640e3;
// Wider inputs are multiplied for several steps at once if there are few rows.
inline constexpr int64_t wide_input = 64;

template <class Cell, class F>
WorkSplit choose_split(const Sequence<F>& q) {
  WorkSplit split;
  // A ragged batch is as much work as a full one with as many pairs.
  const int64_t T = Steps(q.rows).count(), columns = columns_of_R<Cell>(q);
  const double step = 2.0 * (q.rows.ragged() ? double(count_step_rows(q.rows)) / std::max<int64_t>(T, 1) : q.rows.B) * (q.I + columns) *
                      q.H * Cell::rows;  // operations
  const double bytes = double(columns) * q.H * Cell::h_rows * sizeof(F);
  const int64_t useful = std::max<int64_t>(1, int64_t(step * T / worth_a_thread));
  split.threads = int(std::min<int64_t>(std::max(q.threads, 1), useful));
  if (split.threads > 1) {
    const double rows_each = double(q.rows.B) / split.threads;
    const bool few_rows = rows_each < 1 || (bytes > cached_bytes && rows_each < 48);
    split.by_units = few_rows && step / split.threads > worth_a_barrier;
    if (!split.by_units) split.threads = int(std::min<int64_t>(split.threads, q.rows.B));
  }
  const int64_t rows_each = split.by_units ? q.rows.B : (q.rows.B + split.threads - 1) / split.threads;
  if (q.I > wide_input) split.steps_at_once = std::clamp<int64_t>(48 / std::max<int64_t>(rows_each, 1), 1, std::max<int64_t>(T, 1));
  return split;
}

}  // namespace carrousel::CARROUSEL_TARGET
