// The rule of 1997 for one instruction set: compiled once for each, with CARROUSEL_TARGET set to its name.
#include "lstm1997/target.hpp"

#include <type_traits>

#include "lstm1997/lanes.hpp"
#include "lstm1997/present_single.hpp"

namespace carrousel::CARROUSEL_TARGET {
namespace {

using lstm1997::Stop;

#if defined(__AVX512F__)
constexpr int widest = 16;
#else
constexpr int widest = 8;
#endif

bool is_small(const Network& n) { return n.cells() <= 4 && n.H <= 4; }

// Calls run(N, NK) with vectors as wide as the layers are: narrow vectors have a shorter latency.
template <class F, class Run>
auto with_widths(const Network& n, Run run) {
  constexpr std::integral_constant<int, 4> four;
  constexpr std::integral_constant<int, 8> eight;
  constexpr std::integral_constant<int, sizeof(F) == 4 ? widest : 8> wide;
  if (n.K > 8) return is_small(n) ? run(four, wide) : run(eight, wide);
  if (n.K > 4) return is_small(n) ? run(four, eight) : run(eight, eight);
  return is_small(n) ? run(four, four) : run(eight, four);
}

template <class F>
lstm1997::Online<F>* online(const Network& n) {
  return with_widths<F>(n, [&](auto N, auto NK) -> lstm1997::Online<F>* { return new Single<F, N, NK>(n); });
}

template <int C, int S>
void present_lanes(const Network& n, const Rule& rule, const Stop& stop, Trial* const* trials, int count) {
  if constexpr (widest == 16)
    if (count > 8) return Lanes<16, C, S>(n, rule, stop, trials, count).run();
  Lanes<8, C, S>(n, rule, stop, trials, count).run();
}

using Present = void (*)(const Network&, const Rule&, const Stop&, Trial* const*, int);

// Null for networks that lanes do not support.
Present lanes_for(const Network& n) {
  static constexpr Present table[4][2] = {{present_lanes<1, 1>, present_lanes<1, 2>},
                                          {present_lanes<2, 1>, present_lanes<2, 2>},
                                          {present_lanes<3, 1>, present_lanes<3, 2>},
                                          {present_lanes<4, 1>, present_lanes<4, 2>}};
  const bool fits = n.recurrent && n.output_gates && !n.H && n.C >= 1 && n.C <= 4 && n.S >= 1 && n.S <= 2;
  return fits ? table[n.C - 1][n.S - 1] : nullptr;
}

// With a large alphabet each lane has its own columns, which must change only once per sequence.
int widest_for(const Network& n, const Block& block) {
  const bool fits = n.I <= small_alphabet || (block.at_end && !n.shortcuts);
  return fits && lanes_for(n) ? widest : 1;
}

void present(const Network& n, const Rule& rule, const Stop& stop, Trial* const* trials, int count) {
  for (int i = 0; i < count; ++i) open_window(stop, *trials[i]);
  if (count > 1) return lanes_for(n)(n, rule, stop, trials, count);
  with_widths<float>(n, [&](auto N, auto NK) { present_single<N, NK>(n, rule, stop, *trials[0]); });
}

}  // namespace

#if defined(__AVX512F__)
constexpr const char* name = "avx512";
#elif defined(__AVX2__)
constexpr const char* name = "avx2";
#elif defined(__aarch64__)
constexpr const char* name = "neon";
#else
constexpr const char* name = "baseline";
#endif
extern const lstm1997::RuleTable target = {
    .name = name, .widest = widest_for, .present = present, .make_f32 = online<float>, .make_f64 = online<double>};

}  // namespace carrousel::CARROUSEL_TARGET
