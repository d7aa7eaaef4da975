// SPDX-License-Identifier: BSD-3-Clause
// Smoother and gradient over lanes, float.
#include "kelman/linear/lanes/back_table.hpp"

namespace kelman::linear::lanes {

template MakeGroup<float, GradientResult<float>> gradient_group(Index) noexcept;
template MakeGroup<float, SmootherResult<float>> smoother_group(Index) noexcept;

}  // namespace kelman::linear::lanes
