// SPDX-License-Identifier: BSD-3-Clause
// Recurrent networks in float.
#include "kelman/rnn/cells/elman.hpp"
#include "kelman/rnn/gauss_newton.hpp"
#include "kelman/rnn/sequence.hpp"

namespace kelman::rnn {

template void forward(const cells::Elman<float>&, const Readout<float>&, const Inputs<float>&, const Outputs<float>&,
                      int, Interrupt&);
template LossSums loss_and_gradient(const cells::Elman<float>&, const Readout<float>&, const Inputs<float>&,
                                    const Targets<float>&, const Field<float>&, int, Interrupt&);

}  // namespace kelman::rnn
