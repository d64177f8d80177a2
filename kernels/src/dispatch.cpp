// Which instruction set runs: the best of the machine, unless CARROUSEL_ISA or use_instruction_set() chooses another.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "carrousel/custom_cell.hpp"
#include "carrousel/targets.hpp"
#include "machine/threads.hpp"
#include "target.hpp"

namespace carrousel {
namespace {

#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"); }
[[maybe_unused]] bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#elif defined(__aarch64__)
bool has_neon() { return true; }
#endif
[[maybe_unused]] bool has_baseline() { return true; }

struct Available {
  const Target* targets[4] = {};
  const char* names[5] = {};
  int count = 0;

  Available() {
#define CARROUSEL_ADD(name) \
  if (has_##name()) add(name::target);
    CARROUSEL_TARGETS(CARROUSEL_ADD)
#undef CARROUSEL_ADD
  }
  void add(const Target& target) {
    targets[count] = &target;
    names[count++] = target.name;
  }
  const Target* by_name(const char* name) const {
    for (int i = 0; name && i < count; ++i)
      if (!std::strcmp(name, targets[i]->name)) return targets[i];
    return nullptr;
  }
};

const Available& available() {
  static const Available available;
  return available;
}

// An unknown name in CARROUSEL_ISA leaves the best in force; Python reports it.
std::atomic<const Target*>& current() {
  static std::atomic<const Target*> chosen = [] {
    const Target* named = available().by_name(std::getenv("CARROUSEL_ISA"));
    return named ? named : available().targets[0];
  }();
  return chosen;
}

// Libraries compiled at run time, latest first. Nothing is ever removed, so readers need no lock.
struct Added {
  const Target* target;
  const Added* before;
};
std::atomic<const Added*> latest{nullptr};

template <class F>
const Kernel<F>* table(const Target& target);
template <>
const Kernel<float>* table(const Target& target) {
  return target.f32;
}
template <>
const Kernel<double>* table(const Target& target) {
  return target.f64;
}

template <class F>
const Kernel<F>* find_in(const Target& target, const char* cell) {
  for (const Kernel<F>* kernel = table<F>(target); kernel->cell; ++kernel)
    if (!std::strcmp(cell, kernel->cell)) return kernel;
  return nullptr;
}

}  // namespace

template <class F>
const Kernel<F>* find(const char* cell) {
  if (const Kernel<F>* kernel = find_in<F>(*current().load(), cell)) return kernel;
  for (const Added* added = latest.load(); added; added = added->before)
    if (const Kernel<F>* kernel = find_in<F>(*added->target, cell)) return kernel;
  return nullptr;
}
template const Kernel<float>* find(const char*);
template const Kernel<double>* find(const char*);

template <>
void sample_mask(const Mask& mask, uint64_t seed, int64_t stream, int64_t rows, int64_t columns, const int64_t* numbers, float* values) {
  current().load()->sample_f32(mask, seed, stream, rows, columns, numbers, values);
}
template <>
void sample_mask(const Mask& mask, uint64_t seed, int64_t stream, int64_t rows, int64_t columns, const int64_t* numbers, double* values) {
  current().load()->sample_f64(mask, seed, stream, rows, columns, numbers, values);
}

double peak_gflops(int threads) {
  const Target* target = current().load();
  std::atomic<int64_t> operations{0};
  std::atomic<float> used{0};
  double best = 0;
  for (int turn = 0; turn < 5; ++turn) {
    operations = 0;
    const auto start = std::chrono::steady_clock::now();
    baseline::run_on_threads(threads, [&](baseline::Member) {
      int64_t done = 0;
      used.store(target->spend(int64_t(2e8), &done));
      operations += done;
    });
    best = std::max(best, operations / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best / 1e9;
}

const char* instruction_set() { return current().load()->name; }

bool use_instruction_set(const char* name) {
  const Target* target = available().by_name(name);
  if (target) current().store(target);
  return target != nullptr;
}

const char* const* instruction_sets() { return available().names; }

void add(const Target& target) {
  Added* added = new Added{&target, latest.load()};
  while (!latest.compare_exchange_weak(added->before, added)) {
  }
}

const char* compile_flags() { return current().load()->flags; }

const char* interface_digest() { return CARROUSEL_INTERFACE; }

}  // namespace carrousel
