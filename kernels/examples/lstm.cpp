// An LSTM trained from C++ alone: its only unit reproduces, at the last step, the number that it read at the first.
//
// Letters: T time steps, B rows of the batch, I inputs, H hidden units. Shapes stand in brackets at every array.
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "carrousel/sequence.hpp"

using Array = std::vector<float>;

int main() {
  constexpr int64_t T = 20, B = 16, I = 2, H = 8;
  const carrousel::Kernel<float>& lstm = *carrousel::find<float>("lstm");

  std::mt19937 random(1997);
  const auto uniform = [&](float limit) { return limit * (2 * float(random() >> 8) / float(1 << 24) - 1); };
  const auto sampled = [&](int64_t size, float limit) {
    Array values(size);
    for (float& value : values) value = uniform(limit);
    return values;
  };
  Array W = sampled(4 * H * I, 0.5), R = sampled(4 * H * H, 0.5), b(4 * H);  // [4 H, I], [4 H, H], [4 H]; gates i f g o
  for (int64_t u = 0; u < H; ++u) b[H + u] = 2;                                // forget gates are open to begin with
  Array dW(W.size()), dR(R.size()), db(b.size());

  Array x(T * B * I), y(T * B * H), dy(T * B * H);                   // [T, B, I], [T, B, H], [T, B, H]
  Array h(B * H), c(B * H);                                          // [B, H]  the states after the last step
  Array saved(T * B * lstm.saved_size(H, I)), c_history(T * B * H);   // for the backward pass

  carrousel::Sequence<float> sequence;
  sequence.rows = {.T = T, .B = B, .step_stride = B, .row_stride = 1};  // row b of step t is row t * B + b of x and y
  sequence.I = I, sequence.H = sequence.P = sequence.ld_y = H;
  sequence.x = x.data(), sequence.y = y.data();
  sequence.W = W.data(), sequence.R = R.data(), sequence.b_x = b.data();
  sequence.final[0] = h.data(), sequence.final[1] = c.data();
  sequence.saved = saved.data(), sequence.history[1] = c_history.data();

  carrousel::Gradients<float> gradients;
  gradients.dy = dy.data(), gradients.ld_dy = H;
  gradients.dW = dW.data(), gradients.dR = dR.data(), gradients.db_x = db.data();

  float error = 1;
  for (int update = 0; update <= 2000; ++update) {
    for (float& value : x) value = uniform(0.5);
    lstm.forward(sequence);
    float loss = 0;
    for (int64_t row = 0; row < B; ++row) {  // unit 0 of the last step against input 0 of the first
      const int64_t last = ((T - 1) * B + row) * H;
      dy[last] = (y[last] - x[row * I]) / B;
      loss += (y[last] - x[row * I]) * (y[last] - x[row * I]) / B;
    }
    error = update ? 0.98f * error + 0.02f * std::sqrt(loss) : std::sqrt(loss);
    if (update % 500 == 0) std::printf("update %4d: error %.3f\n", update, double(error));
    lstm.backward(sequence, gradients);
    const auto descend = [](Array& weights, const Array& gradient) {
      for (size_t k = 0; k < weights.size(); ++k) weights[k] -= 0.5f * gradient[k];
    };
    descend(W, dW), descend(R, dR), descend(b, db);
  }
  return error < 0.1f ? 0 : 1;  // 0.29 for who knows nothing of the first step
}
