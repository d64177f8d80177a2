#include "case.hpp"

#include <cmath>
#include <numeric>
#include <random>

namespace carrousel::test {
namespace {

std::vector<double> random_values(std::mt19937& random, int64_t size, double scale) {
  std::vector<double> values(size);
  for (double& value : values) value = float(scale * (double(random()) / 0x80000000 - 1));  // the standard's distributions vary
  return values;
}

// So that the pre-activations are of the order of one, where nothing saturates, and that rounding dies out over time.
double scale_of(int input, const Case& c) {
  if (input == W) return 1 / std::sqrt(double(c.size.I));
  if (input == R) return 1 / std::sqrt(double(c.P));
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

}  // namespace

Case::Case(const Cell& cell, Size size, Way way, Options options)
    : cell(cell), size(size), way(way), options(options), P(options.projected ? size.H / 2 + 1 : size.H) {
  batch_sizes = batch_sizes_of(size, way.packed);
  std::mt19937 random(1997);
  for (int i = 0; i < inputs; ++i) {
    const int64_t n = size_of_input(i);
    values[i] = absent(i) ? std::vector<double>(n) : random_values(random, n, scale_of(i, *this));
    directions[i] = random_values(random, n, 1);
  }
  for (int o = 0; o < outputs; ++o) d_outputs[o] = random_values(random, size_of_output(o), 1);
}

int64_t Case::N() const { return std::accumulate(batch_sizes.begin(), batch_sizes.end(), int64_t(0)); }

int64_t Case::at(int64_t t, int64_t b) const {
  if (way.packed) return std::accumulate(batch_sizes.begin(), batch_sizes.begin() + t, int64_t(0)) + b;
  return way.batch_first ? b * size.T + t : t * size.B + b;
}

bool Case::absent(int input) const {
  if (input == B_X || input == B_H) return !options.bias;
  return input >= INITIAL && !options.initial;
}

int64_t Case::size_of_input(int input) const {
  switch (input) {
    case X: return N() * size.I;
    case W: return cell.x_rows * size.H * size.I;
    case R: return cell.h_rows * size.H * P;
    case B_X: return cell.x_rows * size.H;
    case B_H: return cell.h_rows * size.H;
    case PER_UNIT: return cell.weights * size.H;
    case PROJECTION: return options.projected ? P * size.H : 0;
    default: return size_of_output(FINAL + input - INITIAL);
  }
}

int64_t Case::size_of_output(int output) const {
  if (output == Y) return N() * P;
  const int state = output - FINAL;
  return state >= cell.states ? 0 : size.B * (state ? size.H : P);
}

std::string Case::name() const {
  const auto number = [](const char* letter, int64_t n) { return letter + std::to_string(n); };
  return std::string(cell.name) + " " + number("T", size.T) + number(" B", size.B) + number(" I", size.I) + number(" H", size.H) + " " +
         way.name + (options.projected ? " projected" : "") + (options.bias ? "" : " no_bias") + (options.initial ? "" : " no_initial");
}

std::string name_of_input(int input) {
  static constexpr const char* names[] = {"x", "W", "R", "b_x", "b_h", "per_unit", "projection"};
  return input < INITIAL ? names[input] : "initial " + std::to_string(input - INITIAL);
}

std::string name_of_output(int output) { return output == Y ? "y" : "final " + std::to_string(output - FINAL); }

}  // namespace carrousel::test
