// SPDX-License-Identifier: BSD-3-Clause
// The gradient of the log-likelihood for double; single precision is computed in double.
#include "kelman/linear/diffuse_gradient.hpp"

namespace kelman::linear {

template <Real Scalar>
void form_gradient(const FilterProblem<Scalar>& problem, const GradientResult<Scalar>& result, bool summed, int threads,
                   Interrupt& stop) {
  run_form_gradient<Univariate<Scalar>>(problem, result, summed, threads, stop);
}

template <Real Scalar>
void diffuse_gradient(const FilterProblem<Scalar>& problem, const GradientResult<Scalar>& result, bool summed,
                      int threads, Interrupt& stop) {
  run_diffuse_gradient<Univariate<Scalar>>(problem, result, summed, threads, stop);
}

template void form_gradient(const FilterProblem<double>&, const GradientResult<double>&, bool, int, Interrupt&);
template void diffuse_gradient(const FilterProblem<double>&, const GradientResult<double>&, bool, int, Interrupt&);

}  // namespace kelman::linear
