// How fast the kernels are, and what the machine could do: GFLOP/s, and per cent of the peak that is measured beside it.
//
//   bench_kernels [--only WORD] [--turns N] [--json]      rows whose name contains the word
//
// The columns are the machine's instruction sets, each with one thread and with two. In a turn every column of a row is measured once,
// each after its own peak; the median over the turns counts.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "carrousel/sequence.hpp"
#include "rows.hpp"

namespace carrousel::bench {
namespace {

struct Measurement {
  double giga_per_second = 0, percent = 0;
};

double seconds(const Work& work, int64_t times) {
  const auto start = std::chrono::steady_clock::now();
  work.run(times);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// How often work must run to take so long: by the processor's time, which does not pass while a thread waits for a core.
int64_t times_for(const Work& work, double wanted) {
  for (int64_t times = 1;; times *= 2) {
    const std::clock_t start = std::clock();
    work.run(times);
    if (double(std::clock() - start) / CLOCKS_PER_SEC >= wanted * work.threads) return times;
  }
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

constexpr double turn_seconds = 0.005, peak_seconds = 0.001;

std::vector<Measurement> measure(const Row& row, const std::vector<Column>& columns, int turns) {
  struct Cell {
    Work work, peak;
    int64_t times = 0, peak_times = 0;
    std::vector<double> rates, shares;
  };
  std::vector<Cell> cells;
  for (const Column& column : columns) {
    Cell cell;
    cell.work = row.work(column);
    cell.peak = peak(column, cell.work.bf16);
    if (cell.work.run) {
      cell.times = times_for(cell.work, turn_seconds);
      cell.peak_times = times_for(cell.peak, peak_seconds);
    }
    if (column.threads > 1) {  // where cores are busy, threads that wait for each other look like work: as often as one at least
      cell.times = std::max(cell.times, cells.back().times);
      cell.peak_times = std::max(cell.peak_times, cells.back().peak_times);
    }
    cells.push_back(std::move(cell));
  }
  for (int turn = 0; turn < turns; ++turn)
    for (Cell& cell : cells) {
      if (!cell.work.run) continue;
      const double peak = cell.peak.amount * cell.peak_times / seconds(cell.peak, cell.peak_times);
      const double rate = cell.work.amount * cell.times / seconds(cell.work, cell.times);
      cell.rates.push_back(rate), cell.shares.push_back(rate / peak);
    }
  std::vector<Measurement> found;
  for (Cell& cell : cells)
    found.push_back(!cell.work.run ? Measurement{} : Measurement{median(cell.rates) / 1e9, row.is_bytes ? 0 : 100 * median(cell.shares)});
  return found;
}

// ---- printing

void print_heading(const std::vector<Column>& columns) {
  std::printf("GFLOP/s, %% of peak    ");
  for (const Column& column : columns) std::printf(" %9s x%d", column.instruction_set, column.threads);
  std::printf("\n");
}

void print(const Row& row, const std::vector<Measurement>& found) {
  std::printf("%-22s", row.name.c_str());
  for (const Measurement& m : found) {
    if (!m.giga_per_second)
      std::printf("%13s", "-");
    else if (row.is_bytes)
      std::printf("%8.1f     ", m.giga_per_second);
    else
      std::printf("%8.1f %3.0f%%", m.giga_per_second, m.percent);
  }
  std::printf("\n");
  std::fflush(stdout);
}

void print_json(const Row& row, const std::vector<Column>& columns, const std::vector<Measurement>& found, bool& first) {
  for (size_t k = 0; k < columns.size(); ++k) {
    if (!found[k].giga_per_second) continue;
    std::printf("%s\n  {\"what\": \"%s\", \"instruction_set\": \"%s\", \"threads\": %d, \"%s\": %.3f", first ? "" : ",", row.name.c_str(),
                columns[k].instruction_set, columns[k].threads, row.is_bytes ? "GB/s" : "GFLOP/s", found[k].giga_per_second);
    if (!row.is_bytes) std::printf(", \"percent_of_peak\": %.2f", found[k].percent);
    std::printf("}");
    first = false;
  }
}

void warn_if_busy() {
  double load = 0;
  const unsigned cores = std::thread::hardware_concurrency();
  if (getloadavg(&load, 1) == 1 && load > 0.5 * cores)
    std::fprintf(stderr, "the machine is busy (load average %.1f on %u cores): run again on an idle one\n", load, cores);
}

int run(int argc, char** argv) {
  std::string only;
  int turns = 5;
  bool json = false;
  for (int k = 1; k < argc; ++k) {
    const std::string option = argv[k];
    if (option == "--json")
      json = true;
    else if (option == "--only" && k + 1 < argc)
      only = argv[++k];
    else if (option == "--turns" && k + 1 < argc && std::atoi(argv[k + 1]) > 0)
      turns = std::atoi(argv[++k]);
    else
      return std::fprintf(stderr, "usage: bench_kernels [--only WORD] [--turns N] [--json]\n"), 2;
  }
  std::vector<Column> columns;
  for (const char* const* name = instruction_sets(); *name; ++name)
    for (int threads : {1, 2}) columns.push_back({*name, threads});
  warn_if_busy();
  bool first = true;
  json ? void(std::printf("[")) : print_heading(columns);
  for (Row& row : rows()) {
    if (row.name.find(only) != std::string::npos) {
      const std::vector<Measurement> found = measure(row, columns, turns);
      json ? print_json(row, columns, found, first) : print(row, found);
    }
    row.work = nullptr;  // its layers are not needed any more
  }
  if (json) std::printf("\n]\n");
  return 0;
}

}  // namespace
}  // namespace carrousel::bench

int main(int argc, char** argv) { return carrousel::bench::run(argc, argv); }
