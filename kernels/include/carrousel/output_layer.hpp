// The output layer of a classifier and its loss, for many classes: logits exist for a few rows at a time. Knows no Python and no torch.
//
// Letters: N rows, H units, V classes.
#pragma once
#include <cstdint>

namespace carrousel {

template <class F>
struct OutputLayer {
  int64_t N = 0, H = 0, V = 0;
  const F* h = nullptr;              // [N, H]
  const F* W = nullptr;              // [V, H]
  const F* b = nullptr;              // [V]     null: none
  const int64_t* classes = nullptr;  // [N]     the class of each row, 0 to V - 1
  const F* weights = nullptr;        // [N]     of the rows' losses; 0: the loss is 0, whatever the row holds
  bool bfloat16 = false;             // products of operands rounded to bfloat16, summed in float; only with F = float
  F smoothing = 0;                   // so much of a class's probability is spread over all classes
  F* losses = nullptr;               // [N]     -log p(class), weighted
  // The gradients of the sum of the losses; dW null: none. db null: b has none.
  F* dh = nullptr;  // [N, H]
  F* dW = nullptr;  // [V, H]
  F* db = nullptr;  // [V]
  int threads = 1;
};

template <class F>
void cross_entropy(const OutputLayer<F>&);

}  // namespace carrousel
