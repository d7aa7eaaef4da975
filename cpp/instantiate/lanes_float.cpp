// SPDX-License-Identifier: BSD-3-Clause
// The lanes kernels of float for a model that all series share: packs of one register, and of two.
#include "kelman/linear/lanes/kernel_table.hpp"

namespace kelman::linear::lanes {

using Narrow = Pack<float, register_lanes<float>>;
using Wide = Pack<float, 2 * register_lanes<float>>;

template Kernel<Narrow, float> kernel_of(Index) noexcept;
template Kernel<Wide, float> kernel_of(Index) noexcept;

}  // namespace kelman::linear::lanes
