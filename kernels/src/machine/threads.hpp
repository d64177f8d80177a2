// Threads: OpenMP's, which are torch's too. The extension is loaded after torch and finds the same runtime in the process, so that
// there is only one set of spinning threads on the cores (with a thread pool of our own, the small shapes lost up to half their speed).
// Built without OpenMP there is one thread; or, with CARROUSEL_STD_THREADS, new ones of the standard library for each call: GCC's
// OpenMP is not built with ThreadSanitizer, which then sees a race wherever its threads meet.
#pragma once
#include <algorithm>
#include <atomic>
#if defined(_OPENMP)
#include <omp.h>
#elif defined(CARROUSEL_STD_THREADS)
#include <thread>
#include <vector>
#endif
#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

// A barrier for a few threads that meet thousands of times a second: it spins. Only a thread that waits for long (because another was
// descheduled) yields.
class Barrier {
 public:
  void wait(int members) {
    if (members == 1) return;
    const int generation = generation_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members) {
      arrived_.store(0, std::memory_order_relaxed);
      generation_.store(generation + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; generation_.load(std::memory_order_acquire) == generation; ++spins) pause(spins);
  }

 private:
  static void pause(int spins);

  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> generation_{0};
};

}  // namespace carrousel::CARROUSEL_TARGET

#if defined(__unix__) || defined(__APPLE__)
#include <sched.h>
#endif

namespace carrousel::CARROUSEL_TARGET {

inline void Barrier::pause(int spins) {
#if defined(__unix__) || defined(__APPLE__)
  if (spins > 4000) {
    sched_yield();
    return;
  }
#endif
#if defined(__x86_64__)
  _mm_pause();
#endif
}

struct Member {
  int rank = 0, members = 1;
  Barrier* shared = nullptr;
  void barrier() const { shared->wait(members); }
  // This member's part of 0 .. n - 1: a contiguous run.
  int64_t first(int64_t n) const { return n * rank / members; }
  int64_t last(int64_t n) const { return n * (rank + 1) / members; }
  template <class T>
  void clear(T* array, int64_t n) const {
    std::fill(array + first(n), array + last(n), T(0));
  }
};

// Runs body(Member) once on each thread. OpenMP may give fewer than `members` (inside another parallel region: one).
template <class Body>
void run_on_threads(int members, Body body) {
  Barrier barrier;
#if defined(_OPENMP)
  if (members > 1) {
#pragma omp parallel num_threads(members)
    body(Member{omp_get_thread_num(), omp_get_num_threads(), &barrier});
    return;
  }
#elif defined(CARROUSEL_STD_THREADS)
  std::vector<std::thread> others;
  for (int rank = 1; rank < members; ++rank)
    others.emplace_back([&body, &barrier, rank, members] { body(Member{rank, members, &barrier}); });
  body(Member{0, std::max(members, 1), &barrier});
  for (std::thread& other : others) other.join();
  return;
#endif
  body(Member{0, 1, &barrier});
}

}  // namespace carrousel::CARROUSEL_TARGET
