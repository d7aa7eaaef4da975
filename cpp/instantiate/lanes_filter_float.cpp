// SPDX-License-Identifier: BSD-3-Clause
// The filter in lanes for float.
#include "kelman/linear/lanes/run.hpp"

namespace kelman::linear::lanes {

template <Real T>
Method run(const FilterProblem<T>& problem, const FilterResult<T>& result, int threads, Interrupt& stop) {
  return run_by_width(problem, result, threads, stop);
}

template Method run(const FilterProblem<float>&, const FilterResult<float>&, int, Interrupt&);

}  // namespace kelman::linear::lanes
