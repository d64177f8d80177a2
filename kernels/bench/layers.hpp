// An LSTM of one of the shapes with all its arrays, ready to run through the library's public interface.
#pragma once
#include <vector>

#include "carrousel/sequence.hpp"
#include "shapes.hpp"

namespace carrousel::bench {

class Layers {
 public:
  explicit Layers(const Shape& shape);

  void forward(int threads);                // nothing is saved for backward
  void forward_and_backward(int threads);   // gradients of all weights, and of the input but for the first layer's

  // Floating-point operations of the matrix products, which are nearly all there are.
  double forward_operations() const;
  double all_operations() const;

 private:
  using Array = std::vector<float>;
  struct Direction {
    Sequence<float> sequence;
    Gradients<float> gradients;
    float* saved;
    float* c_history;
  };

  const Shape shape;
  const int64_t D, N;               // directions; (step, row) pairs
  std::vector<Array> arrays;        // everything that the pointers point into
  std::vector<Direction> directions;  // layer by layer

  float* array(int64_t size, float scale = 0);
  void add_layer(int layer, float* x, float* dx, float* y, float* dy);
  void save_for_backward(bool save);
};

}  // namespace carrousel::bench
