// Arrays with guarded margins.
#pragma once
#include <bit>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace carrousel::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
inline constexpr bool sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool sanitized = false;
#endif

// A NaN that no computation produces: where it remains nothing was written.
template <class F>
inline constexpr std::conditional_t<sizeof(F) == 4, uint32_t, uint64_t> marker_bits = 0x7fc5ca7e;
template <>
inline constexpr uint64_t marker_bits<double> = 0x7ff85ca7e5ca7e00;

template <class F>
bool untouched(F x) {
  return std::bit_cast<std::remove_cv_t<decltype(marker_bits<F>)>>(x) == marker_bits<F>;
}

// An array between two margins of markers: a read outside gives NaN in the results, a write outside shows in unharmed(). Under
// AddressSanitizer there are no margins: its own begin at the end of the array.
template <class F>
class Guarded {
 public:
  Guarded() = default;
  explicit Guarded(int64_t size) : cells_(size + 2 * margin, std::bit_cast<F>(marker_bits<F>)) {}  // not written yet
  explicit Guarded(const std::vector<double>& values) : Guarded(int64_t(values.size())) {
    for (size_t i = 0; i < values.size(); ++i) cells_[margin + i] = F(values[i]);
  }

  F* data() { return cells_.size() > 2 * margin ? cells_.data() + margin : nullptr; }  // null when there are no elements
  std::vector<F> values() const {
    return cells_.empty() ? std::vector<F>() : std::vector<F>(cells_.begin() + margin, cells_.end() - margin);
  }
  bool unharmed() const {
    for (size_t i = 0; i < margin && !cells_.empty(); ++i)
      if (!untouched(cells_[i]) || !untouched(cells_[cells_.size() - 1 - i])) return false;
    return true;
  }

 private:
  static constexpr size_t margin = sanitized ? 0 : 128;
  std::vector<F> cells_;
};

}  // namespace carrousel::test
