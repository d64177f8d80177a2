// Large blocks of memory that stay for the next who needs one.
//
// What a forward pass saves for backward is written once, read once and freed. The system zeroes each of its pages anew at every call: a third
// of a training step at hydrology's shape (478 MB), and more or less of it from run to run. Blocks that nobody uses are marked as free: where
// memory is short, the system takes their pages, and only those are zeroed again.
#pragma once
#include <cstddef>

namespace carrousel {

struct LargeBlock {
  void* memory;
  size_t bytes;
};

inline constexpr size_t most_idle_bytes = size_t(1) << 30;  // of all blocks that nobody uses; beyond, the oldest are freed

// A block of at least so many bytes, in large pages. Throws std::bad_alloc. Any thread may give it back.
LargeBlock take_large_block(size_t bytes);
void give_back(LargeBlock block) noexcept;
size_t idle_bytes();

}  // namespace carrousel
