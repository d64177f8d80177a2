// The same bits for any number of threads, in outputs and in all gradients, whichever way the work is divided.
#include <doctest/doctest.h>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include <string>
#include <thread>

#include "guarded.hpp"
#include "reference.hpp"
#include "run.hpp"
#include "sequence/work_split.hpp"

namespace carrousel::test {
namespace {

struct Divided {
  const char* how;
  Size size;
  bool by_units;           // with four threads; else by rows
  bool several_with_one;   // one thread computes W x for several steps at once
  bool several_with_four;  // and each of four does
};
constexpr Divided divided[] = {
    {"by rows", {50, 13, 20, 65}, false, false, false},
    {"by rows, W x of several steps", {30, 13, 70, 65}, false, true, true},
    {"by rows, W x of several steps only where there are few rows each", {8, 96, 70, 40}, false, false, true},
    {"by units, fewer rows than threads", {8, 3, 100, 330}, true, true, true},
    {"by units, one row", {8, 1, 30, 700}, true, false, false},
    {"by units, weights that outgrow the cache", {4, 5, 70, 410}, true, true, true},
};

template <int Rows>
struct CellOf {  // the part of a cell that choose_split() reads
  static constexpr int rows = Rows, h_rows = Rows, fed = 1;
};

template <class F, int Rows>
void check_division(const Divided& d) {
  Sequence<F> q;
  q.rows.T = d.size.T;
  q.rows.B = d.size.B;
  q.I = d.size.I;
  q.H = q.P = d.size.H;
  q.threads = 4;
  const baseline::WorkSplit four = baseline::choose_split<CellOf<Rows>>(q);
  q.threads = 1;
  const baseline::WorkSplit one = baseline::choose_split<CellOf<Rows>>(q);
  INFO(std::string(d.how), ", cells of ", Rows, " rows");
  CHECK(four.threads == 4);
  CHECK(four.by_units == d.by_units);
  CHECK((four.steps_at_once > 1) == d.several_with_four);
  CHECK((one.steps_at_once > 1) == d.several_with_one);
}

// Otherwise the tests below would not test what they claim. After changing thresholds in src/sequence/work_split.hpp choose other
// sizes above.
TEST_CASE("the sizes below are divided as they should be") {
  for (const Divided& d : divided) {
    check_division<float, 1>(d);
    check_division<float, 4>(d);
    check_division<double, 1>(d);
    check_division<double, 4>(d);
  }
}

template <class F>
void check_threads(const Case& c) {
  const Outcome<F> one = run<F>(c);
  for (int threads = sanitized ? 4 : 2; threads <= 4; ++threads) {  // under sanitizers a step takes fifty times as long
    CAPTURE(threads);
    check_same_bits(run<F>(c, {.threads = threads}), one);
  }
}

void check_threads_of(const char* cell, bool projected) {
  for (const Divided& d : divided)
    for (const Way& way : {ways[0], ways[5]}) {
      if (sanitized && !way.packed) continue;
      const Case c(cell_named(cell), d.size, way, {.projected = projected});
      with_every_instruction_set([&](const char* set) {
        INFO(std::string(d.how), ": ", c.name(), " ", std::string(set));
        check_threads<float>(c);
        if (way.packed) check_threads<double>(c);
      });
    }
}

TEST_CASE("the same bits for any number of threads") {
  for (const Cell& cell : all_cells()) check_threads_of(cell.name, false);
}

TEST_CASE("the same bits for any number of threads, projected") { check_threads_of("lstm", true); }

#if defined(_OPENMP)
TEST_CASE("threads are as many as are asked for") {
  int members = 0;
  baseline::run_on_threads(4, [&](baseline::Member me) {
    if (me.rank == 0) members = me.members;
  });
  CHECK(members == 4);
}

TEST_CASE("called inside a parallel region, the kernels do with the thread they have") {
  const Case c(cell_named("lstm"), divided[0].size);
  const Outcome<float> alone = run<float>(c);
  Outcome<float> inside[2];
#pragma omp parallel num_threads(2)
  inside[omp_get_thread_num()] = run<float>(c, {.threads = 4});
  for (const Outcome<float>& outcome : inside) check_same_bits(outcome, alone);
}
#endif

TEST_CASE("calls from several threads at the same time do not meet") {
  const Case cases[2] = {{cell_named("lstm"), divided[1].size}, {cell_named("gru"), divided[0].size, ways[5]}};
  const Outcome<float> alone[2] = {run<float>(cases[0]), run<float>(cases[1])};
  Outcome<float> together[2];
  std::thread callers[2];
  for (int k = 0; k < 2; ++k)
    callers[k] = std::thread([&, k] {
      for (int again = 0; again < 10; ++again) together[k] = run<float>(cases[k], {.threads = 2});
    });
  for (std::thread& caller : callers) caller.join();
  for (int k = 0; k < 2; ++k) check_same_bits(together[k], alone[k]);
}

}  // namespace
}  // namespace carrousel::test
