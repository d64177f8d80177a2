// Scratch memory of one call: allocated once before the sequence starts, handed out in pieces; no allocation inside the loops. The
// calling thread keeps up to 256 MiB for its next call: fresh pages come zeroed, which took an eighth of the time at H = 650, a thirteenth at 1500.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif
#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

// Asks for 2 MiB pages under a large array that is about to be written for the first time. What is saved for backward is written once, so
// that faults of small pages took a third of the forward pass at hydrology's shape (574 MB).
inline void prefer_large_pages([[maybe_unused]] void* array, [[maybe_unused]] size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t page = uintptr_t(2) << 20;
  const uintptr_t first = (reinterpret_cast<uintptr_t>(array) + page - 1) / page * page;
  const uintptr_t last = (reinterpret_cast<uintptr_t>(array) + bytes) / page * page;
  if (array && first < last)
    madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);  // if the system refuses, only speed is lost
#endif
}

// Returns the pages of a large part of scratch, no longer needed, to the system.
inline void release_pages([[maybe_unused]] char* first, [[maybe_unused]] char* last) {
#if defined(__linux__)
  constexpr uintptr_t page = 4096;  // where pages are larger, the call fails, which costs only memory
  const uintptr_t from = (reinterpret_cast<uintptr_t>(first) + page - 1) / page * page,
                  to = reinterpret_cast<uintptr_t>(last) / page * page;
  if (to > from + (size_t(4) << 20)) madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
#endif
}

class MemoryBlock {
 public:
  MemoryBlock() = default;
  MemoryBlock(const MemoryBlock&) = delete;
  MemoryBlock& operator=(const MemoryBlock&) = delete;
  ~MemoryBlock() { std::free(data_); }

  char* reserve(size_t bytes) {
    if (bytes <= size_) return data_;
    std::free(data_);
    size_ = 0;
    data_ = static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
    if (!data_) throw std::bad_alloc();
    size_ = bytes;
    prefer_large_pages(data_, bytes);
    return data_;
  }

  void release_above(size_t bytes) {
    if (size_ <= bytes) return;
    std::free(data_);
    data_ = nullptr;
    size_ = 0;
  }

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
};

// Pieces are laid out twice by the same code: first to count their bytes, then for real.
class Arena {
 public:
  explicit Arena(char* base) : base_(base) {}

  template <class F>
  F* take(int64_t count) {
    // An odd number of cache lines between arrays, so that equal columns of two arrays do not map to one set of the cache.
    const size_t bytes = (size_t(count) * sizeof(F) + 63) / 64 * 64 + 64;
    F* piece = reinterpret_cast<F*>(base_ + used_);
    used_ += bytes;
    return piece;
  }
  size_t used() const { return used_; }

 private:
  char* base_;
  size_t used_ = 0;
};

// lay_out(Arena&) sets the caller's pointers.
template <class LayOut>
class Workspace {
 public:
  explicit Workspace(LayOut lay_out) {
    Arena counted(nullptr);
    lay_out(counted);
    Arena real(block().reserve(counted.used()));
    lay_out(real);
  }
  ~Workspace() { block().release_above(size_t(256) << 20); }
  Workspace(const Workspace&) = delete;

 private:
  static MemoryBlock& block() {
    static thread_local MemoryBlock block;
    return block;
  }
};

}  // namespace carrousel::CARROUSEL_TARGET
