// SPDX-License-Identifier: BSD-3-Clause
// Sweeps over sequences in double: forward, gradients, directional derivatives.
#define KELMAN_RNN_INSTANTIATING_SWEEPS
#include "kelman/rnn/instances.hpp"

namespace kelman::rnn {
KELMAN_RNN_SWEEPS(, double)
}  // namespace kelman::rnn
