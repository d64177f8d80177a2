#include "layers.hpp"

#include <algorithm>
#include <cmath>
#include <random>

namespace carrousel::bench {
namespace {

// Numbers that any instruction set saves for the backward pass of a (step, row) pair.
int64_t most_saved(int64_t H, int64_t I) {
  int64_t most = 0;
  for (const char* const* name = instruction_sets(); *name; ++name) {
    use_instruction_set(*name);
    most = std::max(most, find<float>("lstm")->saved_size(H, I));
  }
  return most;
}

}  // namespace

Layers::Layers(const Shape& shape) : shape(shape), D(shape.bidirectional ? 2 : 1), N(shape.T * shape.B) {
  float *x = array(N * shape.I, 1), *dx = nullptr;
  for (int layer = 0; layer < shape.layers; ++layer) {
    float *y = array(N * D * shape.H), *dy = array(N * D * shape.H, 1);
    add_layer(layer, x, dx, y, dy);
    x = y, dx = dy;
  }
}

float* Layers::array(int64_t size, float scale) {
  static std::mt19937 random(1997);
  Array values(size);
  for (float& value : values) value = scale * (float(random()) / 0x80000000u - 1);
  arrays.push_back(std::move(values));
  return arrays.back().data();
}

void Layers::add_layer(int layer, float* x, float* dx, float* y, float* dy) {
  const int64_t I = layer ? D * shape.H : shape.I, H = shape.H, B = shape.B;
  const float scale = 1 / std::sqrt(float(H));
  for (int64_t d = 0; d < D; ++d) {
    Direction direction;
    Sequence<float>& q = direction.sequence;
    q.rows = {.T = shape.T, .B = B, .step_stride = B, .row_stride = 1, .reverse = d > 0};
    q.I = I, q.H = q.P = H;
    q.x = x, q.y = y + d * H, q.ld_y = D * H;
    q.W = array(4 * H * I, scale), q.R = array(4 * H * H, scale);
    q.b_x = array(4 * H, scale), q.b_h = array(4 * H, scale);
    q.final[0] = array(B * H), q.final[1] = array(B * H);
    direction.saved = array(N * most_saved(H, I));
    direction.c_history = array(N * H);

    Gradients<float>& g = direction.gradients;
    g.dy = dy + d * H, g.ld_dy = D * H;
    g.dx = dx;
    g.dW = array(4 * H * I), g.dR = array(4 * H * H);
    g.db_x = array(4 * H), g.db_h = array(4 * H);
    directions.push_back(direction);
  }
}

void Layers::save_for_backward(bool save) {
  for (Direction& direction : directions) {
    direction.sequence.saved = save ? direction.saved : nullptr;
    direction.sequence.history[1] = save ? direction.c_history : nullptr;
  }
}

void Layers::forward(int threads) {
  save_for_backward(false);
  for (Direction& direction : directions) {
    direction.sequence.threads = threads;
    find<float>("lstm")->forward(direction.sequence);
  }
}

void Layers::forward_and_backward(int threads) {
  save_for_backward(true);
  for (Direction& direction : directions) {
    direction.sequence.threads = threads;
    find<float>("lstm")->forward(direction.sequence);
  }
  for (auto direction = directions.rbegin(); direction != directions.rend(); ++direction)
    find<float>("lstm")->backward(direction->sequence, direction->gradients);
}

double Layers::forward_operations() const {
  double sum = 0;
  for (const Direction& direction : directions) sum += 8.0 * N * shape.H * (direction.sequence.I + shape.H);
  return sum;
}

// Backward multiplies by R once and by the outputs once, and by W and by the inputs likewise.
double Layers::all_operations() const {
  double sum = forward_operations();
  for (const Direction& direction : directions)
    sum += 8.0 * N * shape.H * (2 * shape.H + direction.sequence.I * (direction.gradients.dx ? 2 : 1));
  return sum;
}

}  // namespace carrousel::bench
