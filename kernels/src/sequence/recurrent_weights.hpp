// R as the products use it, if that is not the caller's R: without the weights that are dropped in this call, and as one matrix if
// it is given by heads. It is made once per call, beside the caller's R; torch would need several operations on tensors.
#pragma once
#include "gemm/row_blocks.hpp"
#include "machine/random.hpp"
#include "machine/workspace.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class RecurrentWeights {
  using T = element<V>;

 public:
  Sequence<T> q;  // the caller's, with R as the products use it

  explicit RecurrentWeights(const Sequence<T>& given) : q(given) {
    const T* R = given.R;
    if (drops()) R = left_of(R);
    if (q.heads > 1) R = spread(R);
    q.R = R;
  }

  // The gradients, with memory for that of the whole R.
  Gradients<T> gradients(const Gradients<T>& given) {
    Gradients<T> d = given;
    if (q.heads > 1 && d.dR) d.dR = take(d_whole, rows * columns);
    return d;
  }

  // Writes the gradient of R to the caller's array.
  void finish(const Gradients<T>& given, const Gradients<T>& d) const {
    if (!given.dR) return;
    for (int64_t r = 0; d.dR != given.dR && r < rows; ++r) std::memcpy(given.dR + r * width, d.dR + place_of(r), width * sizeof(T));
    if (drops()) multiply_by_mask<V>(q.masks.of_weights, q.masks.seed, stream(), rows, width, given.dR, given.dR);
  }

 private:
  const int64_t rows = Cell::h_rows * q.H, columns = columns_of_R<Cell>(q), width = columns / q.heads;
  MemoryBlock dropped, whole, d_whole;

  bool drops() const { return q.masks.of_weights.threshold > 0; }
  int64_t stream() const { return q.masks.first_stream + of_weights_stream; }
  // The offset in the whole R of row r's weights, [width] one after another.
  int64_t place_of(int64_t r) const { return r * columns + r % q.H / width * width; }

  static T* take(MemoryBlock& from, int64_t count) { return reinterpret_cast<T*>(from.reserve(std::max<int64_t>(count, 1) * sizeof(T))); }

  const T* left_of(const T* R) {
    T* to = take(dropped, rows * width);
    multiply_by_mask<V>(q.masks.of_weights, q.masks.seed, stream(), rows, width, R, to);
    return to;
  }
  const T* spread(const T* R) {
    T* to = take(whole, rows * columns);
    std::fill(to, to + rows * columns, T(0));
    for (int64_t r = 0; r < rows; ++r) std::memcpy(to + place_of(r), R + r * width, width * sizeof(T));
    return to;
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
