#include "case.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

namespace carrousel::test {
namespace {

std::vector<double> random_values(std::mt19937& random, int64_t size, double scale) {
  std::vector<double> values(size);
  for (double& value : values) value = float(scale * (double(random()) / 0x80000000 - 1));  // std distributions differ between libraries
  return values;
}

// So that pre-activations are of the order of one, where nothing saturates, and rounding errors decay over time.
double scale_of(int input, const Case& c) {
  if (input == W) return 1 / std::sqrt(double(c.size.I));
  if (input == R) return 1 / std::sqrt(double(c.width_of_R()));
  if (input == PROJECTION) return 1 / std::sqrt(double(c.size.H));
  return 1;
}

std::vector<int64_t> batch_sizes_of(const Size& size, bool packed) {
  std::vector<int64_t> sizes(size.T, size.B);
  for (int64_t t = 0; packed && t < size.T; ++t) {
    sizes[t] = 0;
    for (int64_t b = 0; b < size.B; ++b) sizes[t] += t < size.T - b * size.T / size.B;  // row b has T - b T / B steps
  }
  return sizes;
}

// Neither sorted nor all positive.
std::vector<int64_t> lengths_of(const Size& size) {
  std::vector<int64_t> lengths(size.B);
  for (int64_t b = 0; b < size.B; ++b) lengths[b] = (7 * b + 3) % (size.T + 1);
  return lengths;
}

}  // namespace

Case::Case(const Cell& cell, Size size, Way way, Options options)
    : cell(cell), size(size), way(way), options(options), P(options.projected ? size.H / 2 + 1 : size.H) {
  batch_sizes = batch_sizes_of(size, way.packed);
  if (way.lengths || way.offsets) lengths = lengths_of(size);
  if (way.offsets) {
    offsets.resize(size.B + 1);
    std::partial_sum(lengths.begin(), lengths.end(), offsets.begin() + 1);
  }
  if (way.resets)
    for (int64_t n = 0; n < N(); ++n) resets.push_back(n % 5 == 1 || n % 7 == 0);
  std::mt19937 random(1997);
  const auto draw = [&](int input, int input_end, int output, int output_end) {
    for (int i = input; i < input_end; ++i) {
      const int64_t n = size_of_input(i);
      values[i] = absent(i) ? std::vector<double>(n) : random_values(random, n, scale_of(i, *this));
      directions[i] = random_values(random, n, 1);
    }
    for (int o = output; o < output_end; ++o) d_outputs[o] = random_values(random, size_of_output(o), 1);
  };
  draw(0, RESTORED, 0, HISTORY);
  draw(RESTORED, inputs, HISTORY, outputs);
  // What must not be read is NaN.
  const std::vector<bool> there = this->there();
  const auto strike = [&](std::vector<double>& rows, int64_t width, double value) {
    for (int64_t n = 0; n < N() && !rows.empty(); ++n)
      if (!there[n]) std::fill_n(&rows[n * width], width, value);
  };
  strike(values[X], size.I, std::numeric_limits<double>::quiet_NaN());
  strike(directions[X], size.I, 0);
  strike(d_outputs[Y], P, std::numeric_limits<double>::quiet_NaN());
  for (int o = HISTORY; o < outputs; ++o) strike(d_outputs[o], size.H, std::numeric_limits<double>::quiet_NaN());
}

int64_t Case::N() const { return way.offsets ? offsets.back() : std::accumulate(batch_sizes.begin(), batch_sizes.end(), int64_t(0)); }

int64_t Case::width_of_R() const { return P / options.heads; }

int64_t Case::length(int64_t b) const {
  if (!lengths.empty()) return lengths[b];
  return std::count_if(batch_sizes.begin(), batch_sizes.end(), [b](int64_t rows) { return rows > b; });
}

bool Case::restarts(int64_t t, int64_t b) const {
  if (resets.empty()) return false;
  if (!way.reverse) return resets[at(t, b)];
  return t + 1 < length(b) && resets[at(t + 1, b)];
}

std::vector<bool> Case::there() const {
  std::vector<bool> there(N());
  for (int64_t b = 0; b < size.B; ++b)
    for (int64_t t = 0; t < length(b); ++t) there[at(t, b)] = true;
  return there;
}

bool Case::is_gate(int k) const { return std::strchr(cell.shown_names[k], ' ') != nullptr; }

int64_t Case::at(int64_t t, int64_t b) const {
  if (way.offsets) return offsets[b] + t;
  if (way.packed) return std::accumulate(batch_sizes.begin(), batch_sizes.begin() + t, int64_t(0)) + b;
  return way.batch_first ? b * size.T + t : t * size.B + b;
}

bool Case::absent(int input) const {
  if (input == B_X || input == B_H) return !options.bias;
  return input >= RESTORED ? !way.resets : input >= INITIAL && !options.initial;
}

int64_t Case::size_of_input(int input) const {
  switch (input) {
    case X: return N() * size.I;
    case W: return cell.x_rows * size.H * size.I;
    case R: return cell.h_rows * size.H * width_of_R();
    case B_X: return cell.x_rows * size.H;
    case B_H: return cell.h_rows * size.H;
    case PER_UNIT: return cell.weights * size.H;
    case PROJECTION: return options.projected ? P * size.H : 0;
    default: return size_of_output(FINAL + (input - INITIAL) % max_states);
  }
}

int64_t Case::size_of_output(int output) const {
  if (output == Y) return N() * P;
  if (output >= SAVED) return way.shown && output - SAVED < cell.shown ? N() * size.H : 0;
  if (output >= HISTORY) return way.shown && output > HISTORY && output - HISTORY < cell.states ? N() * size.H : 0;
  const int state = output - FINAL;
  return state >= cell.states ? 0 : size.B * (state ? size.H : P);
}

std::string Case::name() const {
  const auto number = [](const char* letter, int64_t n) { return letter + std::to_string(n); };
  return std::string(cell.name) + " " + number("T", size.T) + number(" B", size.B) + number(" I", size.I) + number(" H", size.H) + " " +
         way.name + (options.projected ? " projected" : "") + (options.bias ? "" : " no_bias") + (options.initial ? "" : " no_initial") +
         (options.heads > 1 ? number(" heads", options.heads) : "");
}

std::string name_of_input(int input) {
  static constexpr const char* names[] = {"x", "W", "R", "b_x", "b_h", "per_unit", "projection"};
  if (input < INITIAL) return names[input];
  return input < RESTORED ? "initial " + std::to_string(input - INITIAL) : "restored " + std::to_string(input - RESTORED);
}

std::string name_of_output(int output) {
  if (output == Y) return "y";
  if (output < HISTORY) return "final " + std::to_string(output - FINAL);
  return output < SAVED ? "history " + std::to_string(output - HISTORY) : "saved " + std::to_string(output - SAVED);
}

}  // namespace carrousel::test
