// SPDX-License-Identifier: BSD-3-Clause
// The filter for double and float.
#include "kelman/linear/filter.hpp"

namespace kelman::linear {

template <Real Scalar>
void filter(const FilterProblem<Scalar>& problem, const FilterResult<Scalar>& result, int threads, Interrupt& stop) {
  run_filter<Univariate<Scalar>>(problem, result, threads, stop);
}

template void filter(const FilterProblem<double>&, const FilterResult<double>&, int, Interrupt&);
template void filter(const FilterProblem<float>&, const FilterResult<float>&, int, Interrupt&);

}  // namespace kelman::linear
