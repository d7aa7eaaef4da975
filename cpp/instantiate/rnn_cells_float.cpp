// SPDX-License-Identifier: BSD-3-Clause
// The cells in float.
#include "kelman/rnn/instances.hpp"

namespace kelman::rnn {

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
