// Large blocks: who takes one gets memory of its own, and what was given back is used again.
#include "carrousel/large_blocks.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <random>
#include <thread>
#include <vector>

namespace carrousel::test {
namespace {

constexpr size_t MB = 1 << 20;

TEST_CASE("a block that was given back is taken again, by who needs at least half of it") {
  const LargeBlock first = take_large_block(40 * MB);
  const LargeBlock second = take_large_block(40 * MB);
  CHECK(first.memory != second.memory);
  CHECK(first.bytes >= 40 * MB);
  std::memset(first.memory, 1, first.bytes);
  const size_t before = idle_bytes();
  give_back(first);
  CHECK(idle_bytes() == before + first.bytes);
  const LargeBlock small = take_large_block(10 * MB), same = take_large_block(30 * MB);
  CHECK(small.memory != first.memory);
  CHECK(same.memory == first.memory);
  std::memset(same.memory, 2, same.bytes);
  for (const LargeBlock& block : {second, small, same}) give_back(block);
}

TEST_CASE("idle blocks are bounded, and the oldest are freed") {
  std::vector<LargeBlock> taken;
  for (int k = 0; k < 12; ++k) taken.push_back(take_large_block(100 * MB));
  for (const LargeBlock& block : taken) give_back(block);
  CHECK(idle_bytes() <= most_idle_bytes);
  CHECK(idle_bytes() > most_idle_bytes / 2);
  const LargeBlock latest = take_large_block(100 * MB);
  CHECK(std::any_of(taken.begin() + 2, taken.end(), [&](const LargeBlock& block) { return block.memory == latest.memory; }));
  give_back(latest);
}

TEST_CASE("a block that is larger than all idle ones may be, is freed at once") {
  const LargeBlock huge = take_large_block(most_idle_bytes + 1);  // its pages are never touched
  give_back(huge);
  CHECK(idle_bytes() <= most_idle_bytes);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // each of which ends a program that asks for too much
TEST_CASE("where there is no memory, idle blocks are freed before it is refused") {
  give_back(take_large_block(50 * MB));
  CHECK_THROWS_AS(take_large_block(std::numeric_limits<int64_t>::max() / 2), std::bad_alloc);
  CHECK(idle_bytes() == 0);
}
#endif

TEST_CASE("threads take blocks of their own") {
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t, &wrong] {
      std::mt19937 random(t);
      for (int turn = 0; turn < 50; ++turn) {
        const LargeBlock block = take_large_block(MB * (1 + random() % 8));
        char* bytes = static_cast<char*>(block.memory);
        std::memset(bytes, t, block.bytes);
        std::this_thread::yield();
        wrong[t] += std::any_of(bytes, bytes + block.bytes, [t](char b) { return b != t; });
        give_back(block);
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4));
}

}  // namespace
}  // namespace carrousel::test
