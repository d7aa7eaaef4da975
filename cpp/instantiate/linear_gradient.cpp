// SPDX-License-Identifier: BSD-3-Clause
// The gradient for double and float, n = 1..8.
#include "kelman/linear/lanes/gradient_run.hpp"

namespace kelman::linear {

namespace {

template <Real Scalar, int n = 1>
void gradient_of_size(const FilterProblem<Scalar>& problem, bool mixed, const GradientResult<Scalar>& result,
                      bool summed, int threads, Interrupt& stop) {
  if (problem.model.dims.n == n) {
    lanes::run_gradient<n, Pack<Scalar, register_lanes<Scalar>>>(problem, mixed, result, summed, threads, stop);
  } else if constexpr (n < lanes::largest_n) {
    gradient_of_size<Scalar, n + 1>(problem, mixed, result, summed, threads, stop);
  }
}

}  // namespace

template <Real Scalar>
bool gradient_supported(const FilterProblem<Scalar>& problem) {
  const Start<Scalar>& start = problem.start;
  if (problem.model.dims.n > lanes::largest_n || problem.model.dims.n < 1 || problem.model.joint()) {
    return false;
  }
  for (Index i = 0; start.rank && i < problem.model.dims.N; ++i) {
    if (*start.rank.at(i) > 0) {
      return false;
    }
  }
  bool mixed = false;
  return lanes::regular_noise(problem, mixed);
}

template <Real Scalar>
void gradient(const FilterProblem<Scalar>& problem, const GradientResult<Scalar>& result, bool summed, int threads,
              Interrupt& stop) {
  bool mixed = false;
  static_cast<void>(lanes::regular_noise(problem, mixed));
  gradient_of_size(problem, mixed, result, summed, threads, stop);
}

template bool gradient_supported(const FilterProblem<double>&);
template bool gradient_supported(const FilterProblem<float>&);
template void gradient(const FilterProblem<double>&, const GradientResult<double>&, bool, int, Interrupt&);
template void gradient(const FilterProblem<float>&, const GradientResult<float>&, bool, int, Interrupt&);

}  // namespace kelman::linear
