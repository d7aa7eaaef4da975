// SPDX-License-Identifier: BSD-3-Clause
// The smoother over lanes, float; gradients of float problems are computed in double.
#include "kelman/linear/lanes/back_table.hpp"

namespace kelman::linear::lanes {

template MakeGroup<float, SmootherResult<float>> smoother_group(Index) noexcept;

}  // namespace kelman::linear::lanes
