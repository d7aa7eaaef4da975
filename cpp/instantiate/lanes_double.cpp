// SPDX-License-Identifier: BSD-3-Clause
// The lanes kernels of double for a model that all series share: packs of one register, and of two.
#include "kelman/linear/lanes/kernel_table.hpp"

namespace kelman::linear::lanes {

using Narrow = Pack<double, register_lanes<double>>;
using Wide = Pack<double, 2 * register_lanes<double>>;

template Kernel<Narrow, double> kernel_of(Index) noexcept;
template Kernel<Wide, double> kernel_of(Index) noexcept;

}  // namespace kelman::linear::lanes
