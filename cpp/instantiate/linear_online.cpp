// SPDX-License-Identifier: BSD-3-Clause
// The online filter for double and float.
#include "kelman/linear/online.hpp"

namespace kelman::linear {

template class Online<Univariate<double>>;
template class Online<Univariate<float>>;

}  // namespace kelman::linear
