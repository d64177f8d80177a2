// What the parts of a backward pass have in common: the call, where its rows and states lie, how its threads share it. The parts keep
// references into it, so it must outlive them.
#pragma once
#include "gemm/operands.hpp"
#include "gemm/row_blocks.hpp"
#include "sequence/chunks.hpp"
#include "sequence/fed_back.hpp"
#include "sequence/states.hpp"
#include "sequence/time.hpp"
#include "sequence/work_split.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class Cell, class V>
struct BackwardContext {
  using T = element<V>;

  BackwardContext(const Sequence<T>& q, const Gradients<T>& d)
      : q(q),
        d(d),
        shape(q.H),
        operands(q),
        steps(q.rows),
        split(choose_split<Cell>(q)),
        fed_back(q, steps),
        states(q, steps),
        chunks(q, shape, steps, needs_recompute<Cell>(q)) {}
  BackwardContext(const BackwardContext&) = delete;  // its members refer to each other

  const Sequence<T>& q;
  const Gradients<T>& d;
  const RowBlocks<Cell, V> shape;
  const Operands<V> operands;
  Steps steps;
  const WorkSplit split;
  FedBack<Cell, V> fed_back;
  States<T> states;
  Chunks<Cell, V> chunks;
};

}  // namespace carrousel::CARROUSEL_TARGET
