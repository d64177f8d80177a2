#include "tiles.hpp"

#include "gemm/gemm.hpp"
#include "gemm/pack.hpp"
#include "machine/peak.hpp"

namespace carrousel::CARROUSEL_TARGET {
namespace {

using bench::Arrays;
using bench::Loop;
using bench::most_columns;
using bench::most_rows;
using bench::peak_vectors;
using bench::terms;

#if defined(__AVX512F__)
using V = vec<float, 16>;
#elif defined(__AVX2__)
using V = vec<float, 8>;
#else
using V = vec<float, 4>;
#endif
constexpr int L = lanes<V>;

void peak_f32(const Arrays& a, int64_t times) {
  V sums[peak_chains] = {};
  multiply_and_add(sums, set1<V>(0.5), set1<V>(1), peak_vectors / peak_chains * times);
  store<V>(a.sums, sums[0]);
}

#if defined(__AVX512F__)
CARROUSEL_PAIRS void peak_of_pairs(const Arrays& a, int64_t times) {
  V sum[12], factor = load<V>(a.panel), term = load<V>(a.panel + L);
  for (int chain = 0; chain < 12; ++chain) sum[chain] = load<V>(a.sums + chain * L);
  for (int64_t k = 0; k < peak_vectors / 12 * times; ++k)
#pragma GCC unroll 12
    for (int chain = 0; chain < 12; ++chain) sum[chain] = (V)_mm512_dpbf16_ps((__m512)sum[chain], (__m512bh)factor, (__m512bh)term);
  for (int chain = 0; chain < 12; ++chain) store<V>(a.sums + chain * L, sum[chain]);
}
constexpr Loop peak_bf16 = peak_of_pairs;
#else
constexpr Loop peak_bf16 = nullptr;
bool machine_has_pairs() { return false; }
#endif

template <int M, int N>
void run_f32(const Arrays& a, int64_t times) {
  for (int64_t k = 0; k < times; ++k) tiles<V>[M - 1][N - 1](a.sums, N* L, a.sums, N* L, {}, {a.rows, a.panel, N * L, terms});
}

template <int M, int N>
void run_bf16(const Arrays& a, int64_t times) {
  for (int64_t k = 0; k < times; ++k) pair_tile_of<V>(M, N)(a.sums, N * L, a.sums, N * L, {}, {a.rows, a.panel, N * L, terms / 2});
}

template <int G, int N>
void run_one_row(const Arrays& a, int64_t times) {
  for (int64_t k = 0; k < times; ++k)
    one_row_panel_tile<V, N>(G)(a.sums, N * L, a.sums, N * L, {}, {a.rows, a.panel, N * L, terms, terms * N * L});
}

void run_transpose(const Arrays& a, int64_t times) {
  for (int64_t k = 0; k < times; ++k) transpose<V>(a.sums, most_columns, a.rows, most_columns, terms);
}

void run_pack(const Arrays& a, int64_t times) {
  static constexpr int order[] = {0};
  for (int64_t k = 0; k < times; ++k) pack_columns(a.sums, most_columns, a.panel, most_columns, most_columns, order, 1, terms, terms, 0);
}

// The loops run(1, 1) to run(rows, 4) in a table, [rows - 1][vectors - 1]; rows that this instruction set has none for stay null.
template <int most, int rows, class Run>
constexpr std::array<std::array<Loop, 4>, most> table(Run run) {
  std::array<std::array<Loop, 4>, most> loops{};
  const auto fill = [&]<int... MN>(std::integer_sequence<int, MN...>) {
    ((loops[MN / 4][MN % 4] = run.template operator()<MN / 4 + 1, MN % 4 + 1>()), ...);
  };
  fill(std::make_integer_sequence<int, 4 * rows>{});
  return loops;
}

}  // namespace

extern const bench::Tiles bench_tiles = {.lanes = L,
                                         .multiplies_bf16 = machine_has_pairs,
                                         .peak_f32 = peak_f32,
                                         .peak_bf16 = peak_bf16,
                                         .f32 = table<most_rows, max_rows>([]<int M, int N>() -> Loop { return run_f32<M, N>; }),
                                         .bf16 = table<most_rows, max_rows>([]<int M, int N>() -> Loop { return run_bf16<M, N>; }),
                                         .one_row = table<3, max_panels>([]<int G, int N>() -> Loop { return run_one_row<G, N>; }),
                                         .transpose = run_transpose,
                                         .pack = run_pack};

}  // namespace carrousel::CARROUSEL_TARGET
