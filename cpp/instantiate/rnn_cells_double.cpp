// SPDX-License-Identifier: BSD-3-Clause
// The cells in double, the products of panels and the activations that they are made of, and normal equations.
#define KELMAN_RNN_INSTANTIATING_PRODUCTS
#include "kelman/rnn/instances.hpp"

namespace kelman::rnn {

KELMAN_RNN_PRODUCTS(, double)

CellPointer<double> make_cell(const cells::Elman<double>::Weights& weights, Activation activation) {
  return std::make_unique<cells::Elman<double>>(weights, activation);
}
CellPointer<double> make_cell(const cells::Gru<double>::Weights& weights) {
  return std::make_unique<cells::Gru<double>>(weights);
}
CellPointer<double> make_cell(const cells::Lstm<double>::Weights& weights) {
  return std::make_unique<cells::Lstm<double>>(weights);
}

NormalEquations normal_equations(const Cell<double>& cell, const Readout<double>& readout, const Inputs<double>& in,
                                 const Targets<double>& targets, bool learns_start, const SeriesEquations* each,
                                 int threads, Interrupt& stop) {
  return gauss_newton(cell, readout, in, targets, learns_start, each, threads, stop);
}

void jacobian(const Cell<double>& cell, const Readout<double>& readout, const Inputs<double>& in, bool learns_start,
              double* to, int threads, Interrupt& stop) {
  output_jacobian(cell, readout, in, learns_start, to, threads, stop);
}

}  // namespace kelman::rnn
