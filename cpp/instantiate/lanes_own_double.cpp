// SPDX-License-Identifier: BSD-3-Clause
// The lanes kernels of double for one model per series.
#include "kelman/linear/lanes/kernel_table.hpp"

namespace kelman::linear::lanes {

using Narrow = Pack<double, register_lanes<double>>;

template Kernel<Narrow, Narrow> kernel_of(Index) noexcept;

}  // namespace kelman::linear::lanes
