// SPDX-License-Identifier: BSD-3-Clause
// The filter for double and float.
#include "kelman/linear/plan.hpp"

namespace kelman::linear {

template class Filter<Univariate<double>>;
template class Filter<Univariate<float>>;

template <Real Scalar>
Method filter(const FilterProblem<Scalar>& problem, const FilterResult<Scalar>& result, int threads, Interrupt& stop) {
  return run_plan(problem, result, threads, stop);
}

template Method filter(const FilterProblem<double>&, const FilterResult<double>&, int, Interrupt&);
template Method filter(const FilterProblem<float>&, const FilterResult<float>&, int, Interrupt&);

}  // namespace kelman::linear
