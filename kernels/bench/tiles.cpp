#include "tiles.hpp"

#include "gemm/gemm.hpp"
#include "gemm/pack.hpp"

namespace carrousel::CARROUSEL_TARGET {
namespace {

using bench::Arrays;
using bench::Loop;
using bench::most_columns;
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

// 12 chains hide the latency of an addition; the compiler fuses a product with its sum where the instruction set can.
void peak_f32(const Arrays& a, int64_t times) {
  V sum[12], factor = load<V>(a.panel), term = load<V>(a.panel + L);
  for (int chain = 0; chain < 12; ++chain) sum[chain] = load<V>(a.sums + chain * L);
  for (int64_t k = 0; k < peak_vectors / 12 * times; ++k)
#pragma GCC unroll 12
    for (int chain = 0; chain < 12; ++chain) sum[chain] = sum[chain] * factor + term;
  for (int chain = 0; chain < 12; ++chain) store<V>(a.sums + chain * L, sum[chain]);
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
    one_row_panel_tiles<V, N>[G - 1](a.sums, N* L, a.sums, N* L, {}, {a.rows, a.panel, N * L, terms, terms * N * L});
}

void run_transpose(const Arrays& a, int64_t times) {
  for (int64_t k = 0; k < times; ++k) transpose<V>(a.sums, most_columns, a.rows, most_columns, terms);
}

void run_pack(const Arrays& a, int64_t times) {
  static constexpr int order[] = {0};
  for (int64_t k = 0; k < times; ++k) pack_columns(a.sums, most_columns, a.panel, most_columns, most_columns, order, 1, terms, terms, 0);
}

#define CARROUSEL_LOOPS(run, M) {run<M, 1>, run<M, 2>, run<M, 3>, run<M, 4>}
#define CARROUSEL_ALL_LOOPS(run)                                              \
  {CARROUSEL_LOOPS(run, 1), CARROUSEL_LOOPS(run, 2), CARROUSEL_LOOPS(run, 3), \
   CARROUSEL_LOOPS(run, 4), CARROUSEL_LOOPS(run, 5), CARROUSEL_LOOPS(run, 6)}

}  // namespace

extern const bench::Tiles bench_tiles = {.lanes = L,
                                         .multiplies_bf16 = machine_has_pairs,
                                         .peak_f32 = peak_f32,
                                         .peak_bf16 = peak_bf16,
                                         .f32 = CARROUSEL_ALL_LOOPS(run_f32),
                                         .bf16 = CARROUSEL_ALL_LOOPS(run_bf16),
                                         .one_row = {CARROUSEL_LOOPS(run_one_row, 1),
#if defined(__AVX512F__) || defined(__aarch64__)
                                                     CARROUSEL_LOOPS(run_one_row, 2), CARROUSEL_LOOPS(run_one_row, 3)
#endif
                                         },
                                         .transpose = run_transpose,
                                         .pack = run_pack};

}  // namespace carrousel::CARROUSEL_TARGET
