// SPDX-License-Identifier: BSD-3-Clause
// What the drivers of a way back know of a group of series: nothing of its sizes. The kernels are behind one virtual
// call per group, so that threads, blocks and sums are compiled once for each number type.
#pragma once

#include <memory>

#include "kelman/core/pack.hpp"
#include "kelman/core/parallel.hpp"
#include "kelman/linear/gradient.hpp"

namespace kelman::linear::lanes {

/// Takes groups of at most `width` series there and back; one object per thread.
template <class Result>
class BackGroup {
 public:
  BackGroup() = default;
  BackGroup(const BackGroup&) = delete;
  BackGroup& operator=(const BackGroup&) = delete;
  BackGroup(BackGroup&&) = delete;
  BackGroup& operator=(BackGroup&&) = delete;
  virtual ~BackGroup() = default;

  /// Series [first, first + count).
  virtual void run(Index first, int count, const Result& result, Interrupt& stop) = 0;
};

/// Makes the group of a problem; `mixed`: some R is not diagonal.
template <Real Scalar, class Result>
using MakeGroup = std::unique_ptr<BackGroup<Result>> (*)(const FilterProblem<Scalar>& problem, bool mixed,
                                                         const Result& result);

/// For 1 <= n <= largest_n, in groups of `group_width` series; instantiated in the library.
template <Real Scalar>
[[nodiscard]] MakeGroup<Scalar, GradientResult<Scalar>> gradient_group(Index n) noexcept;
template <Real Scalar>
[[nodiscard]] MakeGroup<Scalar, SmootherResult<Scalar>> smoother_group(Index n) noexcept;

template <Real Scalar>
inline constexpr Index group_width = register_lanes<Scalar>;

}  // namespace kelman::linear::lanes
