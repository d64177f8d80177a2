#include "rows.hpp"

#include <cstdlib>
#include <cstring>
#include <memory>

#include "carrousel/sequence.hpp"
#include "carrousel/targets.hpp"
#include "layers.hpp"
#include "machine/threads.hpp"
#include "tiles.hpp"

#define CARROUSEL_DECLARE(name)                     \
  namespace carrousel::name {                       \
  extern const carrousel::bench::Tiles bench_tiles; \
  }
CARROUSEL_TARGETS(CARROUSEL_DECLARE)

namespace carrousel::bench {

const Tiles& tiles_of(const char* instruction_set) {
#define CARROUSEL_COMPARE(target) \
  if (!std::strcmp(instruction_set, #target)) return target::bench_tiles;
  CARROUSEL_TARGETS(CARROUSEL_COMPARE)
  std::abort();
}

namespace {

// ---- loops

// A thread's arrays, filled with ones: sums stay finite.
struct Memory {
  std::vector<float> rows = ones(most_columns * (terms + 16)), panel = ones(3 * terms * most_columns), sums = ones(most_columns * terms);
  Arrays arrays;

  Memory() {
    for (int row = 0; row < most_columns; ++row) arrays.rows[row] = aligned(rows) + row * (terms + 16);
    arrays.panel = aligned(panel), arrays.sums = aligned(sums);
  }
  static std::vector<float> ones(int64_t count) { return std::vector<float>(count + 16, 1e-3f); }
  static float* aligned(std::vector<float>& values) {
    return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(values.data()) + 63) / 64 * 64);
  }
};

Work loop(const Column& column, Loop run, double amount, bool bf16 = false) {
  if (!run) return {};
  static Memory memory[2];
  const auto on_all_threads = [run, threads = column.threads](int64_t times) {
    baseline::run_on_threads(threads, [&](baseline::Member me) { run(memory[me.rank].arrays, times); });
  };
  return {on_all_threads, amount * column.threads, column.threads, bf16};
}

}  // namespace

Work peak(const Column& column, bool bf16) {
  const Tiles& tiles = tiles_of(column.instruction_set);
  const bool pairs = bf16 && tiles.multiplies_bf16();
  return loop(column, pairs ? tiles.peak_bf16 : tiles.peak_f32, 2.0 * peak_vectors * tiles.lanes * (pairs ? 2 : 1));
}

namespace {

void add_tiles(std::vector<Row>& rows) {
  const auto size = [](int m, int n) { return std::to_string(m) + "x" + std::to_string(n); };
  const auto operations = [](int m, int n, const Tiles& tiles) { return 2.0 * m * n * tiles.lanes * terms; };
  for (int m = 1; m <= most_rows; ++m)
    for (int n = 1; n <= 4; ++n)
      rows.push_back({"tile f32 " + size(m, n), false, [=](const Column& column) {
                        const Tiles& tiles = tiles_of(column.instruction_set);
                        return loop(column, tiles.f32[m - 1][n - 1], operations(m, n, tiles));
                      }});
  for (int m = 1; m <= most_rows; ++m)
    for (int n = 1; n <= 4; ++n)
      rows.push_back({"tile bf16 " + size(m, n), false, [=](const Column& column) {
                        const Tiles& tiles = tiles_of(column.instruction_set);
                        return loop(column, tiles.bf16[m - 1][n - 1], operations(m, n, tiles), true);
                      }});
  for (int g = 1; g <= 3; ++g)
    for (int n = 1; n <= 4; ++n)
      rows.push_back({"one row " + size(g, n), false, [=](const Column& column) {
                        const Tiles& tiles = tiles_of(column.instruction_set);
                        return loop(column, tiles.one_row[g - 1][n - 1], operations(g, n, tiles));
                      }});
  constexpr double bytes = 2.0 * sizeof(float) * most_columns * terms;  // read and written
  rows.push_back(
      {"transpose, GB/s", true, [=](const Column& column) { return loop(column, tiles_of(column.instruction_set).transpose, bytes); }});
  rows.push_back(
      {"pack columns, GB/s", true, [=](const Column& column) { return loop(column, tiles_of(column.instruction_set).pack, bytes); }});
}

// ---- layers

void add_layers(std::vector<Row>& rows) {
  for (const Shape& shape : shapes) {
    const auto layers = std::make_shared<std::unique_ptr<Layers>>();  // allocated when it is its turn
    const auto row = [&](const char* what, void (Layers::*run)(int), double (Layers::*operations)() const) {
      rows.push_back({std::string(shape.name) + what, false, [=, &shape](const Column& column) {
                        if (!*layers) *layers = std::make_unique<Layers>(shape);
                        const auto times = [=, all = layers->get()](int64_t times) {
                          use_instruction_set(column.instruction_set);
                          for (int64_t k = 0; k < times; ++k) (all->*run)(column.threads);
                        };
                        return Work{times, (layers->get()->*operations)(), column.threads};
                      }});
    };
    row(" forward", &Layers::forward, &Layers::forward_operations);
    row(" fwd+bwd", &Layers::forward_and_backward, &Layers::all_operations);
  }
}

}  // namespace

std::vector<Row> rows() {
  std::vector<Row> rows;
  for (bool bf16 : {false, true})
    rows.push_back({bf16 ? "peak bf16" : "peak f32", false, [=](const Column& column) {
                      Work work = peak(column, bf16);
                      work.bf16 = bf16;
                      return work;
                    }});
  add_tiles(rows);
  add_layers(rows);
  return rows;
}

}  // namespace carrousel::bench
