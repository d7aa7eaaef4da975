// SPDX-License-Identifier: BSD-3-Clause
// The way of the means forward and back for series side by side, for filter, smoother and gradient.
#include "kelman/linear/shared/retreat.hpp"

namespace kelman::linear::shared {

template Recursion<SideBySide<double>> recursion_for<SideBySide<double>>(const Model<double>&) noexcept;
template Recursion<SideBySide<float>> recursion_for<SideBySide<float>>(const Model<float>&) noexcept;

template WayBack<SideBySide<double>> retreat_for<SideBySide<double>>(const Model<double>&) noexcept;
template WayBack<SideBySide<float>> retreat_for<SideBySide<float>>(const Model<float>&) noexcept;

template void retreat_any(const Retreat<SideBySide<double>>&, const double*, const SideBySide<double>*,
                          const SideBySide<double>*) noexcept;
template void retreat_any(const Retreat<SideBySide<float>>&, const float*, const SideBySide<float>*,
                          const SideBySide<float>*) noexcept;

}  // namespace kelman::linear::shared
