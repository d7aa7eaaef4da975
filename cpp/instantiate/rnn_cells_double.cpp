// SPDX-License-Identifier: BSD-3-Clause
// The cells in double.
#include "kelman/rnn/instances.hpp"

namespace kelman::rnn {

CellPointer<double> make_cell(const cells::Elman<double>::Weights& weights, Activation activation) {
  return std::make_unique<cells::Elman<double>>(weights, activation);
}
CellPointer<double> make_cell(const cells::Gru<double>::Weights& weights) {
  return std::make_unique<cells::Gru<double>>(weights);
}
CellPointer<double> make_cell(const cells::Lstm<double>::Weights& weights) {
  return std::make_unique<cells::Lstm<double>>(weights);
}

}  // namespace kelman::rnn
