// SPDX-License-Identifier: BSD-3-Clause
// The cells in float, the products of panels and the activations that they are made of.
#define KELMAN_RNN_INSTANTIATING_PRODUCTS
#include "kelman/rnn/instances.hpp"

namespace kelman::rnn {

KELMAN_RNN_PRODUCTS(, float)

CellPointer<float> make_cell(const cells::Elman<float>::Weights& weights, Activation activation) {
  return std::make_unique<cells::Elman<float>>(weights, activation);
}
CellPointer<float> make_cell(const cells::Gru<float>::Weights& weights) {
  return std::make_unique<cells::Gru<float>>(weights);
}
CellPointer<float> make_cell(const cells::Lstm<float>::Weights& weights) {
  return std::make_unique<cells::Lstm<float>>(weights);
}

}  // namespace kelman::rnn
