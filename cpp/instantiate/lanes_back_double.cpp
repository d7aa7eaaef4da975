// SPDX-License-Identifier: BSD-3-Clause
// Smoother and gradient over lanes, double.
#include "kelman/linear/lanes/back_table.hpp"

namespace kelman::linear::lanes {

template MakeGroup<double, GradientResult<double>> gradient_group(Index) noexcept;
template MakeGroup<double, SmootherResult<double>> smoother_group(Index) noexcept;

}  // namespace kelman::linear::lanes
