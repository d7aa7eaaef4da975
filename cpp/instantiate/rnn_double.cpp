// SPDX-License-Identifier: BSD-3-Clause
// Recurrent networks in double.
#include "kelman/rnn/cells/elman.hpp"
#include "kelman/rnn/gauss_newton.hpp"
#include "kelman/rnn/sequence.hpp"

namespace kelman::rnn {

template void forward(const cells::Elman<double>&, const Readout<double>&, const Inputs<double>&,
                      const Outputs<double>&, int, Interrupt&);
template LossSums loss_and_gradient(const cells::Elman<double>&, const Readout<double>&, const Inputs<double>&,
                                    const Targets<double>&, const Field<double>&, int, Interrupt&);
template NormalEquations<double> gauss_newton(const cells::Elman<double>&, const Readout<double>&,
                                              const Inputs<double>&, const Targets<double>&, bool, int, Interrupt&);

}  // namespace kelman::rnn
