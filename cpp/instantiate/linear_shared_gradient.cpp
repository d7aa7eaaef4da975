// SPDX-License-Identifier: BSD-3-Clause
// The gradient of series with the same covariances, for double; single precision is computed in double.
#include "kelman/linear/shared/gradient.hpp"

namespace kelman::linear {

template <Real Scalar>
bool shared_gradient(const FilterProblem<Scalar>& problem, const GradientResult<Scalar>& result, bool summed,
                     int threads, Interrupt& stop) {
  return shared::takes_gradient(problem) &&
         shared::SharedGradient<Univariate<Scalar>>(problem, result, summed, threads, stop).run();
}

template bool shared_gradient(const FilterProblem<double>&, const GradientResult<double>&, bool, int, Interrupt&);

}  // namespace kelman::linear
