// A layer's weights in the order in which the forward pass reads them: packed at each call, or once by a stream, which passes them in
// (Sequence::panels).
#pragma once
#include "gemm/pack.hpp"
#include "machine/threads.hpp"
#include "machine/workspace.hpp"

namespace carrousel::CARROUSEL_TARGET {

// The panels of one group.
template <class T>
struct GroupPanels {
  const T *x, *h, *bias;  // [I, x_rows * blocks * L], [P, h_rows * blocks * L], [rows * blocks * L]
  const T *x_scales = nullptr, *h_scales = nullptr;  // int8: [x_rows * blocks * L], [h_rows * blocks * L]
};

template <class Cell, class V>
class Panels {
  using T = element<V>;
  static constexpr int L = lanes<V>;

 public:
  static constexpr int projection_vectors = max_vectors;
  static constexpr int64_t projection_width = projection_vectors * L;

  Panels(const Sequence<T>& q, const RowBlocks<Cell, V>& shape) : q(q), shape(shape), operands(q) {}

  // Places the panels in scratch, unless the caller has brought them.
  void lay_out(Arena& arena) {
    if (!q.panels) return take(arena);
    Arena brought(reinterpret_cast<char*>(const_cast<T*>(q.panels)));
    take(brought);
  }

  int64_t size() {
    Arena counted(nullptr);
    take(counted);
    return counted.used() / sizeof(T);
  }
  void pack_into(T* panels) {
    Arena arena(reinterpret_cast<char*>(panels));
    take(arena);
    pack({});
  }

  // Packs this member's part.
  void pack(Member me) const {
    if (q.panels) return;
    for (int64_t g = me.first(shape.groups); g < me.last(shape.groups); ++g) {
      T* rows = scratch + me.rank * scratch_each();
      pack_group<Cell, V>(at(x_panels, g, x_terms()), q.W, q.I, Cell::x_order, Cell::x_rows, shape, g, operands, rows,
                          at(x_scales, g, Cell::x_rows));
      pack_group<Cell, V>(at(h_panels, g, h_terms()), q.R, columns_of_R<Cell>(q), Cell::h_order, Cell::h_rows, shape, g, operands, rows,
                          at(h_scales, g, Cell::h_rows));
      pack_bias<Cell, V>(at(biases, g, Cell::rows), q.b_x, q.b_h, shape, g);
    }
    if (me.rank == 0 && Cell::weights) pack_rows(units, q.per_unit, Cell::weights, q.H, shape.padded);
    for (int64_t p = me.first(projection_count()); p < me.last(projection_count()); ++p) pack_projection(me, p);
  }

  // Packs one group into memory for group_capacity() elements; not of int8.
  GroupPanels<T> pack_one(T* to, int64_t g) const {
    const int64_t units = shape.blocks_of(g) * L;
    T *x = to, *h = x + x_terms() * units, *bias = h + h_terms() * units, *rows = bias + Cell::rows * units;
    pack_group<Cell, V>(x, q.W, q.I, Cell::x_order, Cell::x_rows, shape, g, operands, rows);
    pack_group<Cell, V>(h, q.R, columns_of_R<Cell>(q), Cell::h_order, Cell::h_rows, shape, g, operands, rows);
    pack_bias<Cell, V>(bias, q.b_x, q.b_h, shape, g);
    return {x, h, bias};
  }
  int64_t group_capacity() const { return (x_terms() + h_terms() + Cell::rows) * RowBlocks<Cell, V>::blocks_in_group * L + scratch_each(); }

  GroupPanels<T> of(int64_t group) const {
    return {x(group), h(group), bias(group), at(x_scales, group, Cell::x_rows), at(h_scales, group, Cell::h_rows)};
  }
  // I, H and columns_of_R count pairs or quads where the weights are rounded.
  const T* x(int64_t group) const { return at(x_panels, group, x_terms()); }        // [I, x_rows * blocks * L]
  const T* h(int64_t group) const { return at(h_panels, group, h_terms()); }        // [columns_of_R, h_rows * blocks * L]
  const T* bias(int64_t group) const { return at(biases, group, Cell::rows); }      // [rows * blocks * L]
  const T* per_unit(int weight) const { return units + weight * shape.padded; }  // [padded]
  const T* projection(int64_t panel) const {
    return projections + panel * operands.count(q.H) * projection_width;
  }  // [H, projection_width]
  const T* projection_scales_of(int64_t panel) const { return projection_scales + panel * projection_width; }
  int64_t projection_count() const { return q.projection ? (q.P + projection_width - 1) / projection_width : 0; }

 private:
  const Sequence<T>& q;
  const RowBlocks<Cell, V>& shape;
  const Operands<V> operands;
  T *x_panels, *h_panels, *biases, *units, *projections, *x_scales, *h_scales, *projection_scales, *scratch;

  int64_t x_terms() const { return Cell::x_rows * operands.count(q.I); }
  int64_t h_terms() const { return Cell::h_rows * operands.count(columns_of_R<Cell>(q)); }
  // For each member.
  int64_t scratch_each() const { return operands.weights_capacity(L, std::max(std::max(q.I, columns_of_R<Cell>(q)), q.H)); }

  void take(Arena& arena) {
    x_panels = arena.take<T>(x_terms() * shape.padded);
    h_panels = arena.take<T>(h_terms() * shape.padded);
    biases = arena.take<T>(Cell::rows * shape.padded);
    units = arena.take<T>(Cell::weights * shape.padded);
    projections = arena.take<T>(projection_count() * operands.count(q.H) * projection_width);
    x_scales = arena.take<T>(operands.scaled() ? Cell::x_rows * shape.padded : 0);
    h_scales = arena.take<T>(operands.scaled() ? Cell::h_rows * shape.padded : 0);
    projection_scales = arena.take<T>(operands.scaled() ? projection_count() * projection_width : 0);
    scratch = arena.take<T>(q.threads * scratch_each());
  }

  // The groups before this one have `each` elements for each of their units.
  T* at(T* panels, int64_t group, int64_t each) const { return panels + shape.first_block(group) * L * each; }

  void pack_projection(Member me, int64_t p) const {
    T* panel = projections + p * operands.count(q.H) * projection_width;
    for (int64_t c = 0; c < projection_width; ++c) {
      const int64_t out = p * projection_width + c;
      const T* row = q.projection + out * q.H;
      if (operands.scaled()) projection_scales[out] = 0;
      if (out < q.P) operands.round_weights(&row, 1, scratch + me.rank * scratch_each(), q.H, projection_scales + out);
      for (int64_t k = 0; k < operands.count(q.H); ++k) panel[k * projection_width + c] = out < q.P ? row[k] : T(0);
    }
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
