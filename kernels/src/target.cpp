// Every cell's kernels for one instruction set: this file is compiled once for each, with CARROUSEL_TARGET set to its name.
#include "target.hpp"

#include "machine/functions.hpp"  // before the cells, which call them

#include "carrousel/cells/all.hpp"  // generated from src/carrousel/cells/*.py
#include "layer_norm/backward.hpp"
#include "layer_norm/forward.hpp"
#include "machine/peak.hpp"
#include "sequence/backward.hpp"
#include "sequence/forward.hpp"
#include "sequence/recurrent_weights.hpp"

namespace carrousel::CARROUSEL_TARGET {
namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

// A layer of few units takes half a vector: 8 units would leave half of AVX-512's lanes idle and double the memory. Not in float64,
// whose vectors are short, and whose kernels would take twice as long to compile.
template <class F>
inline constexpr int wide = vector_bytes / int(sizeof(F));
template <class F>
inline constexpr int narrow = sizeof(F) == 4 && wide<F> > 4 ? wide<F> / 2 : wide<F>;

template <class F, class Run>
auto by_width(int64_t H, Run run) {
  if constexpr (narrow<F> < wide<F>)
    if (H <= narrow<F>) return run(vec<F, narrow<F>>{});
  return run(vec<F, wide<F>>{});
}

template <class Cell>
inline constexpr bool is_normed = requires { Cell::normed; };

template <class Cell, class F>
int64_t saved_size(int64_t H, [[maybe_unused]] int64_t I) {
  return by_width<F>(H, [&]<class V>(V) {
    if constexpr (is_normed<Cell>)
      return int64_t(Saved<Cell, V>(H, I).size());
    else
      return int64_t(RowBlocks<Cell, V>(H).saved_size());
  });
}

template <class Cell, class F>
int64_t panels_size(const Sequence<F>& q) {
  return by_width<F>(q.H, [&]<class V>(V) {
    const RowBlocks<Cell, V> shape(q.H);
    return int64_t(Panels<Cell, V>(q, shape).size());
  });
}

template <class Cell, class F>
void pack(const Sequence<F>& q, F* to) {
  by_width<F>(q.H, [&]<class V>(V) {
    const RowBlocks<Cell, V> shape(q.H);
    Panels<Cell, V>(q, shape).pack_into(to);
  });
}

template <class Cell, class F>
void forward(const Sequence<F>& q) {
  by_width<F>(q.H, [&]<class V>(V) {
    const RecurrentWeights<Cell, V> with(q);
    if constexpr (is_normed<Cell>)
      NormedForward<Cell, V>(with.q).run();
    else
      Forward<Cell, V>(with.q).run();
  });
}

template <class Cell, class F>
void backward(const Sequence<F>& q, const Gradients<F>& d) {
  by_width<F>(q.H, [&]<class V>(V) {
    RecurrentWeights<Cell, V> with(q);
    const Gradients<F> found = with.gradients(d);
    if constexpr (is_normed<Cell>)
      NormedBackward<Cell, V>(with.q, found).run();
    else
      Backward<Cell, V>(with.q, found).run();
    with.finish(d, found);
  });
}

template <class Cell, class F>
constexpr Kernel<F> kernel() {
  Kernel<F> k{.cell = Cell::name,
              .states = Cell::states,
              .fed = Cell::fed,
              .x_rows = Cell::x_rows,
              .h_rows = Cell::h_rows,
              .weights = Cell::weights,
              .masks = Cell::masks,
              .history = {},
              .shown = Cell::shown,
              .shown_names = Cell::shown_names,
              .saves_more = is_normed<Cell>,
              .saved_size = saved_size<Cell, F>,
              .panels_size = panels_size<Cell, F>,
              .pack = pack<Cell, F>,
              .forward = forward<Cell, F>,
              .backward = backward<Cell, F>};
  for (int s = 0; s < Cell::states; ++s) k.history[s] = is_normed<Cell> || Cell::reads_old[s] || Cell::reads_new[s];
  for (int j = 1; j < Cell::fed; ++j) k.history[Cell::fed_states[j]] = true;
  return k;
}

#define CARROUSEL_F32(name) kernel<cells::name, float>(),
#define CARROUSEL_F64(name) kernel<cells::name, double>(),
constexpr Kernel<float> f32[] = {CARROUSEL_CELLS(CARROUSEL_F32) CARROUSEL_NORMED_CELLS(CARROUSEL_F32) Kernel<float>{}};
constexpr Kernel<double> f64[] = {CARROUSEL_CELLS(CARROUSEL_F64) CARROUSEL_NORMED_CELLS(CARROUSEL_F64) Kernel<double>{}};

}  // namespace

#define CARROUSEL_TEXT(x) #x
#define CARROUSEL_NAME(x) CARROUSEL_TEXT(x)
#ifndef CARROUSEL_FLAGS
#define CARROUSEL_FLAGS ""
#endif
extern const Target target = {.name = CARROUSEL_NAME(CARROUSEL_TARGET),
                              .f32 = f32,
                              .f64 = f64,
                              .flags = CARROUSEL_FLAGS,
                              .sample_f32 = sample_rows<vec<float, wide<float>>>,
                              .sample_f64 = sample_rows<vec<double, wide<double>>>,
                              .spend = spend<vec<float, wide<float>>>};

}  // namespace carrousel::CARROUSEL_TARGET
