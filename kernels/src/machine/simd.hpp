// Vectors are the compiler's own (vector_size): arithmetic reads like scalar code, and a scalar is a vector of width one. What the
// compiler does not express well (loads, stores, tails, bits) is in this file only.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define CARROUSEL_INLINE inline __attribute__((always_inline))

// Every instruction set compiles the same templates, in a namespace of its own: otherwise the linker would merge them into one.
#ifndef CARROUSEL_TARGET
#define CARROUSEL_TARGET baseline
#endif

namespace carrousel::CARROUSEL_TARGET {

template <class T, int N>
struct vector_of {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
  typedef T anywhere __attribute__((vector_size(N * sizeof(T)), aligned(alignof(T))));  // in memory: no alignment is assumed
};
template <class T, int N>
using vec = typename vector_of<T, N>::type;

template <class V>
using element = std::remove_cvref_t<decltype(std::declval<V>()[0])>;

template <class V>
inline constexpr int lanes = sizeof(V) / sizeof(element<V>);

// Integers as wide as V's elements: the result of a comparison; exponents are assembled in them.
template <class V>
using bits_of = decltype(std::declval<V>() < std::declval<V>());

// x in all lanes. (Minus zero, not plus: x + 0 is another number if x is -0, so that the compiler would add, and no instruction reads a
// number from memory into all lanes any more. It cost a quarter of a product's rate.)
template <class V>
CARROUSEL_INLINE V set1(double x) {
  return element<V>(x) - V{};
}

template <class V>
using anywhere = typename vector_of<element<V>, lanes<V>>::anywhere;

// Not memcpy: it may alias everything, and the compiler would reload every pointer of the kernel after each store.
template <class V>
CARROUSEL_INLINE V load(const element<V>* p) {
  return *reinterpret_cast<const anywhere<V>*>(p);
}

template <class V>
CARROUSEL_INLINE void store(element<V>* p, V v) {
  *reinterpret_cast<anywhere<V>*>(p) = v;
}

// The first n lanes, 0 < n < lanes<V>; the others are zero, and no byte past them is read or written.
template <class V>
CARROUSEL_INLINE V load_tail(const element<V>* p, int n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && sizeof(element<V>) == 4)
    return (V)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
  else if constexpr (sizeof(V) == 64)
    return (V)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
#endif
  V v{};
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
}

template <class V>
CARROUSEL_INLINE void store_tail(element<V>* p, V v, int n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && sizeof(element<V>) == 4)
    return _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
  else if constexpr (sizeof(V) == 64)
    return _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
#endif
  for (int i = 0; i < n; ++i) p[i] = v[i];
}

// n is the number of existing lanes: a whole vector, or the tail of a row.
template <class V>
CARROUSEL_INLINE V load_n(const element<V>* p, int n) {
  return n >= lanes<V> ? load<V>(p) : load_tail<V>(p, n);
}

template <class V>
CARROUSEL_INLINE void store_n(element<V>* p, V v, int n) {
  if (n >= lanes<V>)
    store<V>(p, v);
  else
    store_tail<V>(p, v, n);
}

// v with zeros in all but the first n lanes, 0 < n < lanes<V>.
template <class V>
CARROUSEL_INLINE V mask_first_n(V v, int n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && sizeof(element<V>) == 4)
    return (V)_mm512_maskz_mov_ps((__mmask16)((1u << n) - 1), (__m512)v);
  else if constexpr (sizeof(V) == 64)
    return (V)_mm512_maskz_mov_pd((__mmask8)((1u << n) - 1), (__m512d)v);
#endif
  for (int i = n; i < lanes<V>; ++i) v[i] = 0;
  return v;
}

// V's bits as pairs of 16-bit integers: in each lane the sum of the products of both pairs, exact unless all four are -2^15.
template <class V>
CARROUSEL_INLINE bits_of<V> multiply_add_16(V a, V b) {
  using I = bits_of<V>;
#if defined(__AVX512BW__)
  if constexpr (sizeof(V) == 64) return (I)_mm512_maskz_madd_epi16(0xffff, (__m512i)a, (__m512i)b);
#endif
#if defined(__AVX2__)
  if constexpr (sizeof(V) == 32) return (I)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#endif
#if defined(__x86_64__)
  if constexpr (sizeof(V) == 16) return (I)_mm_madd_epi16((__m128i)a, (__m128i)b);
#endif
  const auto low = [](V v) { return (I)v << 16 >> 16; };
  const auto high = [](V v) { return (I)v >> 16; };
  return low(a) * low(b) + high(a) * high(b);
}

// max(x, low) and min(x, high), in one instruction that passes a NaN in x through: x86 returns the second operand if either is NaN.
// (Zero-masked with a full mask, which costs nothing: GCC 12 warns about its own unmasked intrinsics.)
template <class V>
CARROUSEL_INLINE V at_least(V x, V low) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && sizeof(element<V>) == 4) return (V)_mm512_maskz_max_ps(0xffff, (__m512)low, (__m512)x);
  if constexpr (sizeof(V) == 64 && sizeof(element<V>) == 8) return (V)_mm512_maskz_max_pd(0xff, (__m512d)low, (__m512d)x);
#endif
#if defined(__AVX__)
  if constexpr (sizeof(V) == 32 && sizeof(element<V>) == 4) return (V)_mm256_max_ps((__m256)low, (__m256)x);
  if constexpr (sizeof(V) == 32 && sizeof(element<V>) == 8) return (V)_mm256_max_pd((__m256d)low, (__m256d)x);
#endif
  return x < low ? low : x;
}

template <class V>
CARROUSEL_INLINE V at_most(V x, V high) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && sizeof(element<V>) == 4) return (V)_mm512_maskz_min_ps(0xffff, (__m512)high, (__m512)x);
  if constexpr (sizeof(V) == 64 && sizeof(element<V>) == 8) return (V)_mm512_maskz_min_pd(0xff, (__m512d)high, (__m512d)x);
#endif
#if defined(__AVX__)
  if constexpr (sizeof(V) == 32 && sizeof(element<V>) == 4) return (V)_mm256_min_ps((__m256)high, (__m256)x);
  if constexpr (sizeof(V) == 32 && sizeof(element<V>) == 8) return (V)_mm256_min_pd((__m256d)high, (__m256d)x);
#endif
  return x > high ? high : x;
}

}  // namespace carrousel::CARROUSEL_TARGET
