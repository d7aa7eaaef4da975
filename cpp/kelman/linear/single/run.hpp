// SPDX-License-Identifier: BSD-3-Clause
// Few series, one at a time: the loop over them.
#pragma once

#include <utility>

#include "kelman/linear/lanes/recursion.hpp"
#include "kelman/linear/problem.hpp"

namespace kelman::linear::single {

/// Whether there are too few series for a pack, so that each is better filtered by itself.
template <Real T>
[[nodiscard]] bool few(const Dims& dims) noexcept {
  return dims.N < register_lanes<T>;
}

/// Filters every series of a problem that lanes::serves; instantiated in the library.
template <Real T>
Method run(const FilterProblem<T>& problem, const FilterResult<T>& result, int threads, Interrupt& stop);

}  // namespace kelman::linear::single
