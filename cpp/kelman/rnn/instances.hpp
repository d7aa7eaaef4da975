// SPDX-License-Identifier: BSD-3-Clause
// What is compiled in instantiate/rnn_*.cpp, one file per scalar, so that who calls it need not compile it again.
#pragma once

#include "kelman/rnn/cells/elman.hpp"
#include "kelman/rnn/gauss_newton.hpp"
#include "kelman/rnn/sequence.hpp"

namespace kelman::rnn {

extern template void forward(const cells::Elman<double>&, const Readout<double>&, const Inputs<double>&,
                             const Outputs<double>&, int, Interrupt&);
extern template void forward(const cells::Elman<float>&, const Readout<float>&, const Inputs<float>&,
                             const Outputs<float>&, int, Interrupt&);
extern template LossSums loss_and_gradient(const cells::Elman<double>&, const Readout<double>&, const Inputs<double>&,
                                           const Targets<double>&, const Field<double>&, int, Interrupt&);
extern template LossSums loss_and_gradient(const cells::Elman<float>&, const Readout<float>&, const Inputs<float>&,
                                           const Targets<float>&, const Field<float>&, int, Interrupt&);
extern template NormalEquations<double> gauss_newton(const cells::Elman<double>&, const Readout<double>&,
                                                     const Inputs<double>&, const Targets<double>&, bool, int,
                                                     Interrupt&);

}  // namespace kelman::rnn
