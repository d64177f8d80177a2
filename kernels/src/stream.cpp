// Streams: all computation is Kernel::forward, once for each layer.
#include "carrousel/stream.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "machine/workspace.hpp"

namespace carrousel {
namespace {

constexpr int64_t line = 64, lines_in_part = 16, most_parts = 1024;

template <class F>
const Kernel<F>& kernel_of(const char* cell) {
  const Kernel<F>* found = find<F>(cell);
  if (!found) throw std::invalid_argument(std::string("no kernel for the cell '") + cell + "'");
  return *found;
}

// Weights that fill a good part of a large page get large pages of their own: fewer TLB misses at each step.
template <class F>
std::shared_ptr<F[]> aligned(int64_t count) {
  constexpr size_t page = size_t(2) << 20;
  const size_t bytes = count * sizeof(F), unit = bytes > page / 4 ? page : line, whole = (bytes + unit - 1) / unit * unit;
  void* memory = std::aligned_alloc(unit, whole);
  if (!memory) throw std::bad_alloc();
  if (unit == page) baseline::prefer_large_pages(memory, whole);
  return {static_cast<F*>(memory), [](F* p) { std::free(p); }};
}

// True from the start of one call to its end.
class InUse {
 public:
  explicit InUse(std::atomic<bool>& running) : running_(running) {
    if (running.exchange(true, std::memory_order_acquire))
      throw std::runtime_error("this State is in use by another thread; use one State per thread");
  }
  ~InUse() { running_.store(false, std::memory_order_release); }
  InUse(const InUse&) = delete;

 private:
  std::atomic<bool>& running_;
};

}  // namespace

template <class F>
Stack<F>::Stack(const char* cell, std::vector<Sequence<F>> layers, const std::vector<Source<F>>& sources)
    : kernel_(kernel_of<F>(cell)), instruction_set_(instruction_set()), layers_(std::move(layers)) {
  for (Sequence<F>& layer : layers_) {
    if (layer.storage != Storage::numbers && (kernel_.saves_more || sizeof(F) != sizeof(float)))
      throw std::invalid_argument("a kernel that normalises, or computes in double, has no rounded weights");
    pack(layer);
  }
  for (const Source<F>& source : sources) watch(source.numbers, source.count);
  parts_ = std::clamp<int64_t>(lines_ / lines_in_part, 1, most_parts);
}

template <class F>
void Stack<F>::pack(Sequence<F>& q) {
  const int64_t columns = q.P + (kernel_.fed - 1) * q.H;  // of R
  watch(q.W, kernel_.x_rows * q.H * q.I);
  watch(q.R, kernel_.h_rows * q.H * columns);
  watch(q.b_x, kernel_.x_rows * q.H);
  watch(q.b_h, kernel_.h_rows * q.H);
  watch(q.per_unit, kernel_.weights * q.H);
  watch(q.projection, q.P * q.H);
  panels_.push_back(aligned<F>(kernel_.panels_size(q)));
  kernel_.pack(q, panels_.back().get());
  q.panels = panels_.back().get();
  operations_ += 2.0 * (kernel_.x_rows * q.I + kernel_.h_rows * columns) * q.H + (q.projection ? 2.0 * q.P * q.H : 0);
}

template <class F>
void Stack<F>::watch(const F* weights, int64_t count) {
  if (!weights) return;
  const int64_t bytes = count * sizeof(F);
  watched_.push_back({reinterpret_cast<const char*>(weights), std::make_unique<char[]>(bytes), bytes});
  std::memcpy(watched_.back().packed.get(), weights, bytes);
  lines_ += (bytes + line - 1) / line;
}

template <class F>
bool Stack<F>::holds(int64_t first, int64_t count) const {
  if (instruction_set_ != instruction_set()) return false;
  const bool all = count >= parts_;
  for (const Watched& w : watched_) {
    if (all && std::memcmp(w.now, w.packed.get(), w.bytes)) return false;
    for (int64_t part = first; !all && part < first + count; ++part)
      for (int64_t at = part % parts_ * line; at < w.bytes; at += parts_ * line)
        if (std::memcmp(w.now + at, w.packed.get() + at, std::min(line, w.bytes - at))) return false;
  }
  return true;
}

template <class F>
Stream<F>::Stream(std::shared_ptr<const Stack<F>> stack, int64_t B, const std::vector<F*>& states)
    : stack_(std::move(stack)), B_(B), states_(states) {
  if (int(states.size()) != stack_->kernel().states) throw std::invalid_argument("a stream needs every state of the cell");
}

template <class F>
bool Stream<F>::run(const F* x, F* y, const Rows& rows, int threads) {
  const InUse in_use(running_);
  const Sequence<F>&first = stack_->layers().front(), &last = stack_->layers().back();
  const int64_t count = rows.T * B_, parts = std::min(count, most_parts);
  const auto from = [](const F* p) { return reinterpret_cast<uintptr_t>(p); };
  if (from(x) < from(y + count * last.P) && from(y) < from(x + count * first.I))
    throw std::invalid_argument("out and input overlap in memory: the input is still read when out is written");
  if (!stack_->holds(next_part_, parts)) return false;
  next_part_ = (next_part_ + parts) % most_parts;
  run_layers(x, y, rows, threads);
  if (rows.T % 2) from_last_ = !from_last_;
  return true;
}

template <class F>
void Stream<F>::run_layers(const F* x, F* y, const Rows& rows, int threads) {
  const std::vector<Sequence<F>>& layers = stack_->layers();
  const int64_t L = layers.size(), P = layers[0].P;
  F *next, *between[2];
  // h is not updated in place: the remaining units still need the old one.
  const baseline::Workspace scratch([&](baseline::Arena& arena) {
    next = arena.take<F>(B_ * P);
    for (int k = 0; k < 2; ++k) between[k] = arena.take<F>(k + 1 < L ? rows.T * B_ * P : 0);
  });
  for (int64_t l = 0; l < L; ++l) {
    Sequence<F> q = layers[l];
    q.rows = rows;
    q.threads = threads;
    q.from_last = from_last_;
    q.x = l ? between[(l - 1) % 2] : x;
    q.y = l + 1 < L ? between[l % 2] : y;
    q.ld_y = P;
    for (size_t k = 0; k < states_.size(); ++k) {
      F* state = states_[k] + l * B_ * (k ? q.H : P);
      q.initial[k] = state;
      q.final[k] = k ? state : next;
    }
    stack_->kernel().forward(q);
    std::memcpy(states_[0] + l * B_ * P, next, B_ * P * sizeof(F));
  }
}

template class Stack<float>;
template class Stack<double>;
template class Stream<float>;
template class Stream<double>;

}  // namespace carrousel
