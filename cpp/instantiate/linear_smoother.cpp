// SPDX-License-Identifier: BSD-3-Clause
// The smoother for double and float.
#include "kelman/linear/smoother.hpp"

namespace kelman::linear {

template <Real Scalar>
void smooth(const FilterProblem<Scalar>& problem, const SmootherResult<Scalar>& result, int threads, Interrupt& stop) {
  run_smoother<Univariate<Scalar>>(problem, result, threads, stop);
}

template void smooth(const FilterProblem<double>&, const SmootherResult<double>&, int, Interrupt&);
template void smooth(const FilterProblem<float>&, const SmootherResult<float>&, int, Interrupt&);

}  // namespace kelman::linear
