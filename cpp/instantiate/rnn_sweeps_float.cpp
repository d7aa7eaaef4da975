// SPDX-License-Identifier: BSD-3-Clause
// Sweeps over sequences in float: forward, gradients, directional derivatives.
#define KELMAN_RNN_INSTANTIATING_SWEEPS
#include "kelman/rnn/instances.hpp"

namespace kelman::rnn {
KELMAN_RNN_SWEEPS(, float)
}  // namespace kelman::rnn
