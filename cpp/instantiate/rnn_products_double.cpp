// SPDX-License-Identifier: BSD-3-Clause
// Products of panels and activations in double.
#define KELMAN_RNN_INSTANTIATING_PRODUCTS
#include "kelman/rnn/instances.hpp"

namespace kelman::rnn {
KELMAN_RNN_PRODUCTS(, double)
}  // namespace kelman::rnn
