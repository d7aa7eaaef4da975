// SPDX-License-Identifier: BSD-3-Clause
// The kernels of the way back by size: for the files that instantiate them.
#pragma once

#include <array>
#include <utility>

#include "kelman/linear/lanes/gradient.hpp"
#include "kelman/linear/lanes/smoother.hpp"

namespace kelman::linear::lanes {

template <class Group, Real Scalar, class Result>
[[gnu::cold]] std::unique_ptr<BackGroup<Result>> make_group(const FilterProblem<Scalar>& problem, bool mixed,
                                                            const Result& result) {
  return std::make_unique<Group>(problem, mixed, result);
}

template <Real Scalar>
using GroupPack = Pack<Scalar, static_cast<int>(group_width<Scalar>)>;

template <Real Scalar>
MakeGroup<Scalar, GradientResult<Scalar>> gradient_group(Index n) noexcept {
  return [n]<int... before>(std::integer_sequence<int, before...>) {
    const std::array<MakeGroup<Scalar, GradientResult<Scalar>>, largest_n> table{
        &make_group<GroupGradient<before + 1, GroupPack<Scalar>>, Scalar, GradientResult<Scalar>>...};
    return table[static_cast<std::size_t>(n - 1)];
  }(std::make_integer_sequence<int, largest_n>{});
}

template <Real Scalar>
MakeGroup<Scalar, SmootherResult<Scalar>> smoother_group(Index n) noexcept {
  return [n]<int... before>(std::integer_sequence<int, before...>) {
    const std::array<MakeGroup<Scalar, SmootherResult<Scalar>>, largest_n> table{
        &make_group<GroupSmoother<before + 1, GroupPack<Scalar>>, Scalar, SmootherResult<Scalar>>...};
    return table[static_cast<std::size_t>(n - 1)];
  }(std::make_integer_sequence<int, largest_n>{});
}

}  // namespace kelman::linear::lanes
