// SPDX-License-Identifier: BSD-3-Clause
// Few series, one at a time: the loop over them.
#pragma once

#include "kelman/linear/lanes/recursion.hpp"
#include "kelman/linear/problem.hpp"

namespace kelman::linear::single {

/// Whether there are too few series for a pack, and few enough states for a triangle in registers, so that each series
/// is better filtered by itself. In double precision only: single precision is for many series.
[[nodiscard]] inline bool few(const Dims& dims) noexcept {
  return dims.N < register_lanes<double> && dims.n <= lanes::largest_n;
}

/// Filters every series of a problem that lanes::serves; instantiated in the library.
Method run(const FilterProblem<double>& problem, const FilterResult<double>& result, int threads, Interrupt& stop);

}  // namespace kelman::linear::single
