#include "parts.hpp"

#include "machine/functions.hpp"  // before the cells, which call them

#include "carrousel/cells/all.hpp"
#include "gemm/gemm.hpp"
#include "gemm/pack.hpp"
#include "gemm/row_blocks.hpp"
#include "gemm/transpose.hpp"

namespace carrousel::CARROUSEL_TARGET {
namespace {

using test::Packing;
using test::Parts;
using test::Product;

template <class V, V (*f)(V)>
void map(element<V>* out, const element<V>* in, int64_t n) {
  for (int64_t i = 0; i < n; i += lanes<V>) {
    const int some = int(std::min<int64_t>(n - i, lanes<V>));
    store_n<V>(out + i, f(load_n<V>(in + i, some)), some);
  }
}

// always_inline functions have no address of their own
#define CARROUSEL_UNARY(name) \
  template <class V>          \
  V name##_of(V x) {          \
    return name(x);           \
  }
CARROUSEL_UNARY(exp)
CARROUSEL_UNARY(sigmoid)
CARROUSEL_UNARY(tanh)
CARROUSEL_UNARY(relu)
CARROUSEL_UNARY(step_of)
CARROUSEL_UNARY(expm1)
CARROUSEL_UNARY(log)
CARROUSEL_UNARY(log1p)
CARROUSEL_UNARY(softplus)
CARROUSEL_UNARY(sqrt)
CARROUSEL_UNARY(abs)
CARROUSEL_UNARY(sign)

#define CARROUSEL_BINARY(name)                                                               \
  template <class V>                                                                         \
  void name##_of_two(element<V>* out, const element<V>* x, const element<V>* z, int64_t n) { \
    for (int64_t i = 0; i < n; i += lanes<V>) {                                              \
      const int some = int(std::min<int64_t>(n - i, lanes<V>));                              \
      store_n<V>(out + i, name(load_n<V>(x + i, some), load_n<V>(z + i, some)), some);       \
    }                                                                                        \
  }
CARROUSEL_BINARY(maximum)
CARROUSEL_BINARY(minimum)
CARROUSEL_BINARY(less)
CARROUSEL_BINARY(less_equal)
CARROUSEL_BINARY(equal)

template <class V>
void select_of(element<V>* out, const element<V>* mask, const element<V>* x, const element<V>* z, int64_t n) {
  for (int64_t i = 0; i < n; i += lanes<V>) {
    const int some = int(std::min<int64_t>(n - i, lanes<V>));
    store_n<V>(out + i, select(load_n<V>(mask + i, some), load_n<V>(x + i, some), load_n<V>(z + i, some)), some);
  }
}

template <class F>
Factor<F> main_of(const Product<F>& p) {
  return {p.rows, p.panel, p.ld_panel, p.K};
}
template <class F>
Factor<F> lead_of(const Product<F>& p) {
  return {p.lead_rows, p.lead_panel, p.ld_lead, p.lead_K};
}

template <class V>
void run_tile(const Product<element<V>>& p) {
  tiles<V>[p.count - 1][p.vectors - 1](p.acc, p.ld_acc, p.start, p.ld_start, lead_of(p), main_of(p));
}
template <class V>
void run_one_row_tile(const Product<element<V>>& p) {
  one_row_tiles<V>[p.vectors - 1](p.acc, p.ld_acc, p.start, p.ld_start, lead_of(p), main_of(p));
}
template <class V>
void run_product(const Product<element<V>>& p, bool one_row) {
  gemm<V>(p.vectors, p.acc, p.ld_acc, p.start, p.ld_start, p.count, main_of(p), lead_of(p), one_row ? Terms::one_row : Terms::numbers);
}

template <class V>
void run_pair_tile(const Product<float>& p) {
  pair_tiles<V>[p.count - 1][p.vectors - 1](p.acc, p.ld_acc, p.start, p.ld_start, lead_of(p), main_of(p));
}
template <class V>
bool has_pairs() {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64) return machine_has_pairs();
#endif
  return false;
}
template <class V>
void run_machine_pair_tile([[maybe_unused]] const Product<float>& p) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64)
    machine_pair_tiles<V>[p.count - 1][p.vectors - 1](p.acc, p.ld_acc, p.start, p.ld_start, lead_of(p), main_of(p));
#endif
}

// For float only.
template <class V>
struct PairParts {
  using F = element<V>;
  void (*round_row)(F*, const F*, int64_t) = nullptr;
  void (*tile)(const Product<F>&) = nullptr;
  bool (*machine_has)() = nullptr;
  void (*machine_tile)(const Product<F>&) = nullptr;
};
template <class V>
constexpr PairParts<V> pair_parts() {
  if constexpr (std::is_same_v<element<V>, float>) return {round_row<V>, run_pair_tile<V>, has_pairs<V>, run_machine_pair_tile<V>};
  return {};
}

template <class Cell, class V>
struct Pack {
  using F = element<V>;

  static const int* order(bool by_x) { return by_x ? Cell::x_order : Cell::h_order; }
  static int rows(bool by_x) { return by_x ? Cell::x_rows : Cell::h_rows; }

  static void matrix(F* panels, const F* M, int64_t K, bool by_x, int64_t H) {
    const RowBlocks<Cell, V> shape(H);
    for (int64_t group = 0; group < shape.groups; ++group) {
      pack_group<Cell, V>(panels, M, K, order(by_x), rows(by_x), shape, group);
      panels += K * rows(by_x) * shape.blocks_of(group) * lanes<V>;
    }
  }
  static void bias(F* out, const F* b_x, const F* b_h, int64_t H) {
    const RowBlocks<Cell, V> shape(H);
    for (int64_t group = 0; group < shape.groups; ++group) {
      pack_bias<Cell, V>(out, b_x, b_h, shape, group);
      out += Cell::rows * shape.blocks_of(group) * lanes<V>;
    }
  }
  static void columns(F* panel, int64_t width, const F* M, int64_t ld, int64_t columns, bool by_x, int64_t H, int64_t padded,
                      int64_t first) {
    pack_columns(panel, width, M, ld, columns, order(by_x), rows(by_x), H, padded, first);
  }
  static int64_t saved_size(int64_t H) { return RowBlocks<Cell, V>(H).saved_size(); }
  static int64_t saved_place(int64_t H, int64_t block, int k) {
    const RowBlocks<Cell, V> shape(H);
    return shape.saved_at(block) + k * shape.saved_stride(block);
  }
};

template <class Cell, class V>
constexpr Packing<element<V>> packing() {
  using P = Pack<Cell, V>;
  return {.cell = Cell::name,
          .rows = Cell::rows,
          .x_first = Cell::x_first,
          .x_rows = Cell::x_rows,
          .h_first = Cell::h_first,
          .h_rows = Cell::h_rows,
          .saved = Cell::saved,
          .blocks_in_group = RowBlocks<Cell, V>::blocks_in_group,
          .x_order = Cell::x_order,
          .h_order = Cell::h_order,
          .matrix = P::matrix,
          .bias = P::bias,
          .columns = P::columns,
          .saved_size = P::saved_size,
          .saved_place = P::saved_place};
}

template <class V>
constexpr Parts<element<V>> parts() {
  return {.lanes = lanes<V>,
          .tile_rows = max_rows,
          .exp = map<V, exp_of<V>>,
          .sigmoid = map<V, sigmoid_of<V>>,
          .tanh = map<V, tanh_of<V>>,
          .relu = map<V, relu_of<V>>,
          .step_of = map<V, step_of_of<V>>,
          .expm1 = map<V, expm1_of<V>>,
          .log = map<V, log_of<V>>,
          .log1p = map<V, log1p_of<V>>,
          .softplus = map<V, softplus_of<V>>,
          .sqrt = map<V, sqrt_of<V>>,
          .abs = map<V, abs_of<V>>,
          .sign = map<V, sign_of<V>>,
          .maximum = maximum_of_two<V>,
          .minimum = minimum_of_two<V>,
          .less = less_of_two<V>,
          .less_equal = less_equal_of_two<V>,
          .equal = equal_of_two<V>,
          .select = select_of<V>,
          .tile = run_tile<V>,
          .one_row_tile = run_one_row_tile<V>,
          .product = run_product<V>,
          .round_row = pair_parts<V>().round_row,
          .pair_tile = pair_parts<V>().tile,
          .machine_has_pairs = pair_parts<V>().machine_has,
          .machine_pair_tile = pair_parts<V>().machine_tile,
          .transpose = transpose<V>,
          .pack_rows = pack_rows<element<V>>,
          .packings = {packing<cells::rnn_tanh, V>(), packing<cells::lstm1997, V>(), packing<cells::gru, V>()}};
}

template <class F>
constexpr Parts<F> all_widths[] = {parts<vec<F, 16 / sizeof(F)>>(),
#if defined(__AVX2__)
                                   parts<vec<F, 32 / sizeof(F)>>(),
#endif
#if defined(__AVX512F__)
                                   parts<vec<F, 64 / sizeof(F)>>(),
#endif
                                   {}};

}  // namespace

extern const test::AllParts all_parts = {all_widths<float>, all_widths<double>};

}  // namespace carrousel::CARROUSEL_TARGET
