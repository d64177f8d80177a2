// Blocks that nobody uses, oldest first.
#include "carrousel/large_blocks.hpp"

#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#include "machine/workspace.hpp"

namespace carrousel {
namespace {

constexpr size_t page = size_t(2) << 20;

class IdleBlocks {
 public:
  // A block of at most twice as many bytes as are needed; null if there is none.
  LargeBlock take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    auto best = blocks_.end();
    for (auto at = blocks_.begin(); at != blocks_.end(); ++at)
      if (at->bytes >= bytes && at->bytes / 2 <= bytes && (best == blocks_.end() || at->bytes < best->bytes)) best = at;
    if (best == blocks_.end()) return {};
    const LargeBlock found = *best;
    blocks_.erase(best);
    bytes_ -= found.bytes;
    return found;
  }

  void add(LargeBlock block) {
    const std::lock_guard lock(mutex_);
    blocks_.push_back(block);
    bytes_ += block.bytes;
    while (bytes_ > most_idle_bytes) free_oldest();
  }

  void free_all() {
    const std::lock_guard lock(mutex_);
    while (blocks_.size()) free_oldest();
  }

  size_t bytes() {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  std::mutex mutex_;
  std::vector<LargeBlock> blocks_;
  size_t bytes_ = 0;

  void free_oldest() {
    bytes_ -= blocks_.front().bytes;
    std::free(blocks_.front().memory);
    blocks_.erase(blocks_.begin());
  }
};

// Never destroyed: an array may be freed after everything else.
IdleBlocks& idle() {
  static IdleBlocks& blocks = *new IdleBlocks;
  return blocks;
}

}  // namespace

LargeBlock take_large_block(size_t bytes) {
  if (const LargeBlock found = idle().take(bytes); found.memory) return found;
  const size_t whole = (bytes + page - 1) / page * page;
  void* memory = std::aligned_alloc(page, whole);
  if (!memory) {
    idle().free_all();
    memory = std::aligned_alloc(page, whole);
  }
  if (!memory) throw std::bad_alloc();
  baseline::prefer_large_pages(memory, whole);
  return {memory, whole};
}

void give_back(LargeBlock block) noexcept {
#if defined(__linux__) && defined(MADV_FREE)
  madvise(block.memory, block.bytes, MADV_FREE);  // if the system refuses, their pages stay in use
#endif
  try {
    idle().add(block);
  } catch (const std::bad_alloc&) {
    std::free(block.memory);
  }
}

size_t idle_bytes() { return idle().bytes(); }

}  // namespace carrousel
