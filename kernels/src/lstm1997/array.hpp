// Numbers or vectors on the heap, initially zero. Not std::vector: the linker would choose one instruction set's copy of its
// functions for all, and the copies differ, even in the alignment of a vector (the baseline's alignof of 8 floats is 16).
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>

#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

template <class T>
class Array {
 public:
  explicit Array(int64_t size = 0) { reset(size); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { ::operator delete(first, alignment); }

  // Becomes `size` elements, all zero.
  void reset(int64_t size) {
    ::operator delete(first, alignment);
    first = nullptr;  // in case the next line throws
    first = static_cast<T*>(::operator new(size * sizeof(T), alignment));
    count = size;
    clear();
  }
  CARROUSEL_INLINE void clear() { std::memset(static_cast<void*>(first), 0, count * sizeof(T)); }
  CARROUSEL_INLINE void swap(Array& other) {
    T* const mine = first;  // both have the same size
    first = other.first;
    other.first = mine;
  }

  CARROUSEL_INLINE int64_t size() const { return count; }
  CARROUSEL_INLINE T* data() { return first; }
  CARROUSEL_INLINE const T* data() const { return first; }
  CARROUSEL_INLINE T& operator[](int64_t i) { return first[i]; }
  CARROUSEL_INLINE const T& operator[](int64_t i) const { return first[i]; }

 private:
  static constexpr auto alignment = std::align_val_t(64);
  T* first = nullptr;
  int64_t count = 0;
};

}  // namespace carrousel::CARROUSEL_TARGET
