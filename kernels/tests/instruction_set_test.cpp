// Which kernels are found, and for which instruction set.
#include <doctest/doctest.h>

#include <cstdlib>
#include <set>
#include <string>

#include "carrousel/custom_cell.hpp"
#include "reference.hpp"
#include "run.hpp"
#include "target.hpp"

namespace carrousel::test {
namespace {

// Before any test chooses another.
const std::string at_start = instruction_set();

TEST_CASE("the best instruction set is in force, or the one that CARROUSEL_ISA names") {
  const char* asked = std::getenv("CARROUSEL_ISA");
  std::string expected = instruction_sets()[0];
  for (const char* const* name = instruction_sets(); asked && *name; ++name)
    if (std::string(*name) == asked) expected = asked;
  CHECK(at_start == expected);
}

// Only the name is read.
template <class F>
Kernel<F> called(const char* cell) {
  Kernel<F> kernel{};
  kernel.cell = cell;
  return kernel;
}

TEST_CASE("a library's cells are found beside those that were built in, the latest first, whatever is in force") {
  // Entries of the list must stay in memory.
  static const Kernel<float> f32[] = {called<float>("added_1"), called<float>("lstm"), {}}, later[] = {called<float>("added_1"), {}};
  static const Kernel<double> f64[] = {called<double>("added_2"), {}}, none[] = {{}};
  static const Target first{"avx2", f32, f64, "", nullptr, nullptr, nullptr};
  static const Target second{"avx2", later, none, "", nullptr, nullptr, nullptr};
  CHECK(find<float>("added_1") == nullptr);
  const Kernel<float>* lstm = find<float>("lstm");
  add(first);
  CHECK(find<float>("added_1") == f32);
  CHECK(find<double>("added_1") == nullptr);
  CHECK(find<double>("added_2") == f64);
  CHECK(find<float>("lstm") == lstm);
  add(second);
  with_every_instruction_set([&](const char*) { CHECK(find<float>("added_1") == later); });
  CHECK(find<double>("added_2") == f64);
}

TEST_CASE("what a library is compiled with says for which instruction set, and has a digest of its interface") {
  std::set<std::string> flags;
  int sets = 0;
  with_every_instruction_set([&](const char*) { ++sets, flags.insert(compile_flags()); });
  CHECK(int(flags.size()) == sets);
  CHECK(std::string(interface_digest()).size() == 2 * 64);
}

TEST_CASE("each instruction set has its own kernels of every cell") {
  std::set<const void*> f32, f64;
  int sets = 0;
  with_every_instruction_set([&](const char* name) {
    ++sets;
    CHECK(std::string(instruction_set()) == name);
    for (const Cell& cell : all_cells()) {
      const Kernel<float>* kernel = find<float>(cell.name);
      REQUIRE(kernel);
      CHECK(std::string(kernel->cell) == cell.name);
      CHECK(kernel->states == cell.states);
      CHECK(kernel->x_rows == cell.x_rows);
      CHECK(kernel->h_rows == cell.h_rows);
      CHECK(kernel->weights == cell.weights);
      f32.insert(kernel);
      f64.insert(find<double>(cell.name));
    }
  });
  CHECK(sets >= 1);
  CHECK(f32.size() == sets * all_cells().size());
  CHECK(f64.size() == sets * all_cells().size());
}

TEST_CASE("the last instruction set is one that every machine has") {
  std::string last;
  for (const char* const* name = instruction_sets(); *name; ++name) last = *name;
  CHECK((last == "baseline" || last == "neon"));
}

TEST_CASE("an unknown name changes nothing") {
  const std::string before = instruction_set();
  for (const char* name : {"", "AVX2", "avx", "avx5120", "sse9"}) CHECK_FALSE(use_instruction_set(name));
  CHECK_FALSE(use_instruction_set(nullptr));
  CHECK(instruction_set() == before);
}

TEST_CASE("every instruction set does some arithmetic in a second") {
  with_every_instruction_set([](const char*) { CHECK(peak_gflops(1) > 0.01); });
}

TEST_CASE("a cell that has no kernel is not found") {
  for (const char* name : {"", "LSTM", "lst", "lstm "}) {
    CHECK_FALSE(find<float>(name));
    CHECK_FALSE(find<double>(name));
  }
}

}  // namespace
}  // namespace carrousel::test
