// SPDX-License-Identifier: BSD-3-Clause
// Normal equations, in double only.
#include "kelman/rnn/instances.hpp"

namespace kelman::rnn {

NormalEquations normal_equations(const Cell<double>& cell, const Readout<double>& readout, const Inputs<double>& in,
                                 const Targets<double>& targets, bool learns_start, int threads, Interrupt& stop) {
  return gauss_newton(cell, readout, in, targets, learns_start, threads, stop);
}

}  // namespace kelman::rnn
