// Weights rounded to 8 bits, four to a float, and the operand that they are multiplied by, rounded to 16.
//
// A weight w is (b - 128) s, with a byte b in 1 .. 255 and a scale s for each row of the matrix, its largest weight / 127. A quad is four
// consecutive weights of a row in the 32 bits of one float. An operand x is q t: q its numbers of 16 bits, t the scale of the whole operand,
// its largest number / 32512. Sums of b q are sums of integers, hence exact on every machine; 128 times the sum of q, found once per operand,
// is taken from them. What is not finite, weight or operand, makes the scale NaN, and with it the sum.
//
// Four numbers of an operand take two words. AVX-512 VNNI multiplies bytes: the words are the upper and the lower bytes of the four, signed.
// Elsewhere 16-bit numbers are multiplied in pairs: the words are numbers 0 and 2, and 1 and 3, as one mask and one shift make 16-bit numbers
// of a quad's bytes 0 and 2, and 1 and 3.
#pragma once
#include <algorithm>
#include <cmath>
#include "machine/simd.hpp"

namespace carrousel::CARROUSEL_TARGET {

constexpr int64_t quads_for(int64_t n) { return (n + 3) / 4; }

// A block: a sum of so many quads fits into 32 bits: 64 * 4 * 255 * 32640 < 2^31.
inline constexpr int64_t quads_at_once = 64;
constexpr int64_t quad_blocks_for(int64_t n) { return (quads_for(n) + quads_at_once - 1) / quads_at_once; }

// Elements of an operand: the offsets of its blocks, the last one first; its scale; and its words.
constexpr int64_t quantized_size(int64_t n) { return quad_blocks_for(n) + 1 + 2 * quads_for(n); }

// 128 times the sum of the numbers in the block that begins at `row`, of the operand that begins at `origin`.
inline int32_t offset_of_block(const float* row, const float* origin) {
  int32_t offset;
  std::memcpy(&offset, origin - 2 - (row - origin) / (2 * quads_at_once), sizeof offset);
  return offset;
}

template <class V>
inline bool multiplies_bytes() {
#if defined(__AVX512F__)
  static const bool has = __builtin_cpu_supports("avx512vnni");
  return has && sizeof(V) == 64;
#else
  return false;
#endif
}

// The largest |x| of a row [n], NaN if one is not finite.
template <class V>
CARROUSEL_INLINE float largest(const float* row, int64_t n) {
  V most{}, wrong{};
  for (int64_t k = 0; k < n; k += lanes<V>) {
    const V x = load_n<V>(row + k, int(std::min<int64_t>(lanes<V>, n - k))), size = x < 0 ? -x : x;
    most = size > most ? size : most;
    wrong += x * 0.0f;
  }
  float found = 0;
  for (int lane = 0; lane < lanes<V>; ++lane) found = std::max(found, most[lane]) + wrong[lane];
  return found;
}

// What numbers up to `most` are multiplied by to be at most `top`. Tiny ones would overflow it.
inline float factor_to(float top, float most) { return most > 1e-30f ? top / most : 0; }

// The two words of four numbers q.
CARROUSEL_INLINE void put_words(uint32_t* words, const int32_t* q, bool bytes) {
  if (bytes) {
    uint32_t upper = 0, lower = 0;
    for (int j = 0; j < 4; ++j) {
      lower |= (uint32_t(q[j]) & 0xff) << (8 * j);
      upper |= (uint32_t((q[j] + 0x80) >> 8) & 0xff) << (8 * j);  // the lower byte may be negative
    }
    words[0] = upper;
    words[1] = lower;
  } else {
    for (int j = 0; j < 2; ++j) words[j] = (uint32_t(q[j]) & 0xffff) | uint32_t(q[j + 2]) << 16;
  }
}

// to [quantized_size(n)] = row [n]; returns where its words begin.
template <class V>
const float* quantize_operand(float* to, const float* row, int64_t n) {
  constexpr int L = lanes<V>;
  constexpr int64_t at_once = 4 * quads_at_once;
  constexpr float top = 32512, magic = 3 << 22;  // added to x, it leaves x rounded to an integer in the lower bits
  typedef uint32_t Words __attribute__((may_alias));
  const float most = largest<V>(row, n), factor = factor_to(top, most);
  const bool bytes = multiplies_bytes<V>();
  to += quad_blocks_for(n) + 1;
  to[-1] = most / top;
  for (int64_t first = 0, block = 0; first < n; first += at_once, ++block) {
    alignas(64) int32_t q[at_once];
    const int64_t some = std::min(at_once, n - first);
    vec<int32_t, L> sums{};
    for (int64_t k = 0; k < 4 * quads_for(some); k += L) {
      const V x = k < some ? load_n<V>(row + first + k, int(std::min<int64_t>(L, some - k))) : V{};
      const vec<int32_t, L> rounded = (vec<int32_t, L>)(x * factor + magic) << 16 >> 16;
      sums += rounded;
      std::memcpy(q + k, &rounded, sizeof rounded);
    }
    for (int64_t k = 0; k < quads_for(some); ++k) put_words(reinterpret_cast<Words*>(to + first / 2 + 2 * k), q + 4 * k, bytes);
    int32_t offset = 0;
    for (int lane = 0; lane < L; ++lane) offset += 128 * sums[lane];
    std::memcpy(to - 2 - block, &offset, sizeof offset);
  }
  return to;
}

// to [quads_for(n)] = a row of weights [n]; returns its scale.
inline float quantize_weights(float* to, const float* row, int64_t n) {
  const float most = largest<vec<float, 4>>(row, n), factor = factor_to(127, most);
  for (int64_t k = 0; k < n; k += 4) {
    uint32_t quad = 0;
    for (int64_t j = 0; j < std::min<int64_t>(4, n - k); ++j) {
      const float rounded = std::nearbyint(std::clamp(row[k + j] * factor, -127.0f, 127.0f));  // NaN passes the clamp
      quad |= uint32_t(128 + (rounded == rounded ? int(rounded) : 0)) << (8 * j);
    }
    std::memcpy(to + k / 4, &quad, sizeof quad);
  }
  return most / 127;
}

}  // namespace carrousel::CARROUSEL_TARGET
