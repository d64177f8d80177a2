// The mask of the h that R multiplies (variational dropout): one number for each row and unit, the same at every step of a sequence.
//
// It is drawn once a call. The masked rows are made anew where they are read, and y stays what the layer puts out: a row is copied once
// for all its products with R. (As a state of the cell's own the masked h would have to be kept beside h.)
#pragma once
#include "noise.hpp"
#include "steps.hpp"
#include "team.hpp"
#include "workspace.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class V>
class FedBack {
  using T = element<V>;
  static constexpr int L = lanes<V>;

 public:
  FedBack(const Sequence<T>& q, const Steps& steps) : q(q), steps(steps) {}

  bool masked() const { return q.noise.fed_back.threshold || q.noise.fed_back.left != 1; }
  long width() const { return (q.P + L - 1) / L * L; }
  long rows() const { return masked() ? q.rows.B : 0; }

  void lay_out(Layout& layout) { mask = layout.take<T>(rows() * width()); }

  // This member's share of the drawing.
  void prepare(Member me) const {
    const Mask& how = q.noise.fed_back;
    const uint64_t key = key_of_stream(q.noise.seed, q.noise.first_stream + fed_back_stream);
    for (long b = me.first(rows()); b < me.last(rows()); ++b) {
      const uint64_t row_key = key_of_row(key, 0, steps.number(q.noise, b));
      for (long u = 0; u < width(); u += L)
        store<V>(mask + b * width() + u, how.threshold ? drawn<V>(how, row_key, u) : splat<V>(T(how.left)));
    }
  }

  // to [columns] = the mask of row b times h [columns], for the columns from `first` on.
  const T* times(T* to, const T* h, long b, long first, long columns) const {
    const T* m = mask + b * width() + first;
    long c = 0;
    for (; c + L <= columns; c += L) store<V>(to + c, load<V>(m + c) * load<V>(h + c));
    if (c < columns) store_tail<V>(to + c, load_tail<V>(m + c, columns - c) * load_tail<V>(h + c, columns - c), columns - c);
    return to;
  }

  // to [columns] += the mask of row b times d [columns].
  void add_times(T* to, const T* d, long b, long first, long columns) const {
    const T* m = mask + b * width() + first;
    for (long c = 0; c < columns; ++c) to[c] += m[c] * d[c];
  }

 private:
  const Sequence<T>& q;
  const Steps& steps;
  T* mask;  // [B, width]
};

}  // namespace carrousel::CARROUSEL_TARGET
