// SPDX-License-Identifier: BSD-3-Clause
// The smoother for double and float: the first of these ways that fits, as in plan.hpp.
//
//   shared       model, start and gaps are the same in all series: covariances once
//   lanes        regular problems, series side by side
//   otherwise    one series at a time
#include "kelman/linear/lanes/regular.hpp"
#include "kelman/linear/lanes/smoother_run.hpp"
#include "kelman/linear/smoother_batch.hpp"

namespace kelman::linear {

template <Real Scalar>
Method smooth(const FilterProblem<Scalar>& problem, const SmootherResult<Scalar>& result, int threads,
              Interrupt& stop) {
  if (problem.shared) {
    smooth_shared<Univariate<Scalar>>(problem, result, threads, stop);
    return Way::shared;
  }
  bool mixed = false;
  if (lanes::regular(problem, mixed)) {
    return lanes::run_smoother(problem, lanes::smoother_group<Scalar>(problem.model.dims.n), lanes::group_width<Scalar>,
                               mixed, result, threads, stop);
  }
  smooth_each<Univariate<Scalar>>(problem, result, threads, stop);
  return Way::univariate;
}

template Method smooth(const FilterProblem<double>&, const SmootherResult<double>&, int, Interrupt&);
template Method smooth(const FilterProblem<float>&, const SmootherResult<float>&, int, Interrupt&);

}  // namespace kelman::linear
