// SPDX-License-Identifier: BSD-3-Clause
// The gradient, in double precision: a problem in float is made double by the caller.
#include "kelman/linear/lanes/gradient_run.hpp"
#include "kelman/linear/lanes/regular.hpp"

namespace kelman::linear {

template <Real Scalar>
bool gradient_supported(const FilterProblem<Scalar>& problem) {
  bool mixed = false;
  return lanes::regular(problem, mixed);
}

template <Real Scalar>
void gradient(const FilterProblem<Scalar>& problem, const GradientResult<Scalar>& result, bool summed, int threads,
              Interrupt& stop) {
  bool mixed = false;
  static_cast<void>(lanes::regular_noise(problem, mixed));
  lanes::run_gradient(problem, lanes::gradient_group<Scalar>(problem.model.dims.n), lanes::group_width<Scalar>, mixed,
                      result, summed, threads, stop);
}

template bool gradient_supported(const FilterProblem<double>&);
template void gradient(const FilterProblem<double>&, const GradientResult<double>&, bool, int, Interrupt&);

}  // namespace kelman::linear
