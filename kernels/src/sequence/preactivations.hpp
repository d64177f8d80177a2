// The rows of a cell before its functions, a = b + W x + R h, for any number of (step, row) pairs and one group of units at a time:
// the forward pass computes them step by step, the backward pass again for many steps (recompute.hpp). A pair's sums have the same
// terms in the same order whatever pairs are beside it, hence the same bits.
#pragma once
#include "gemm/gemm.hpp"
#include "gemm/operands.hpp"
#include "gemm/panels.hpp"
#include "sequence/work_split.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
class Preactivations {
  using T = element<V>;
  static constexpr int L = lanes<V>;
  static constexpr int R = Cell::rows;

 public:
  Preactivations(const Sequence<T>& q, const RowBlocks<Cell, V>& shape, const Operands<V>& operands)
      : q(q), shape(shape), operands(operands) {}

  int64_t width(int64_t g) const { return int64_t(R) * shape.blocks_of(g) * L; }

  // a [count, width] = b + W x, with the panels of group g; rows of x, and of h below, are operands.
  void add_x(T* a, int64_t g, const GroupPanels<T>& panels, int64_t count, const T* const* x) const {
    const int blocks = shape.blocks_of(g);
    const int64_t each = width(g);
    for (int64_t i = 0; !joint && i < count; ++i) std::memcpy(a + i * each, panels.bias, each * sizeof(T));
    T* fed = a + int64_t(Cell::x_first) * blocks * L;
    gemm<V>(Cell::x_rows * blocks, fed, each, joint ? panels.bias : fed, joint ? 0 : each, count, x_factor(x, g, panels), {},
            operands.terms_of_many());
  }

  // a [count, width] = b + W x + R h; `begun`: a already holds b + W x, unless both are one sum.
  void add_h(T* a, int64_t g, const GroupPanels<T>& panels, int64_t count, const T* const* x, const T* const* h, bool begun) const {
    const int blocks = shape.blocks_of(g);
    const int64_t each = width(g);
    if (!joined() && !begun) add_x(a, g, panels, count, x);
    const Terms terms = operands.terms();
    T* fed = a + (joined() ? 0 : int64_t(Cell::h_first) * blocks * L);
    for (int64_t i = 0, at_once = terms == Terms::one_row ? 1 : count; i < count; i += at_once, fed += at_once * each) {
      if (joined())
        gemm<V>(R * blocks, fed, each, panels.bias, 0, at_once, h_factor(h + i, g, panels), x_factor(x + i, g, panels), terms);
      else
        gemm<V>(Cell::h_rows * blocks, fed, each, fed, each, at_once, h_factor(h + i, g, panels), {}, terms);
    }
  }

 private:
  const Sequence<T>& q;
  const RowBlocks<Cell, V>& shape;
  const Operands<V>& operands;

  // Whether x and h feed the same rows, so that W x and R h can be one sum.
  static constexpr bool joint = Cell::x_first == Cell::h_first && Cell::x_rows == Cell::h_rows;
  // Whether they are. This must not depend on steps_at_once, which depends on the number of threads: one sum rounds differently
  // from two.
  bool joined() const { return joint && q.I <= wide_input; }

  Factor<T> x_factor(const T* const* rows, int64_t g, const GroupPanels<T>& panels) const {
    return {.rows = rows,
            .panel = panels.x,
            .ld_panel = int64_t(Cell::x_rows) * shape.blocks_of(g) * L,
            .K = operands.count(q.I),
            .scales = panels.x_scales};
  }
  Factor<T> h_factor(const T* const* rows, int64_t g, const GroupPanels<T>& panels) const {
    return {.rows = rows,
            .panel = panels.h,
            .ld_panel = int64_t(Cell::h_rows) * shape.blocks_of(g) * L,
            .K = operands.count(columns_of_R<Cell>(q)),
            .scales = panels.h_scales};
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
