// SPDX-License-Identifier: BSD-3-Clause
// The smoother for double and float: the first of these ways that fits, as in plan.hpp.
//
//   shared       model, start and gaps are the same in all series: covariances once
//   grouped      model and start are, and many series have the same gaps: covariances once for each such group
//   lanes        regular problems, series side by side
//   otherwise    one series at a time
#include "kelman/linear/lanes/regular.hpp"
#include "kelman/linear/lanes/smoother_run.hpp"
#include "kelman/linear/patterns.hpp"
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
  const bool fit = lanes::regular(problem, mixed);
  const Patterns patterns = problem.careful ? Patterns{} : find_patterns(problem, smallest_group<Scalar>(fit));
  FilterProblem<Scalar> some = problem;
  Method method;
  Index begin = 0;
  for (const Index end : patterns.ends) {
    if (stop.requested()) {
      return method;
    }
    some.chosen = patterns.series.data() + begin;
    some.chosen_count = end - begin;
    smooth_shared<Univariate<Scalar>>(some, result, threads, stop);
    method = Way::grouped;
    begin = end;
  }
  if (begin == problem.model.dims.N && begin > 0) {
    return method;
  }
  some.chosen = begin > 0 ? patterns.rest.data() : nullptr;
  some.chosen_count = static_cast<Index>(patterns.rest.size());
  if (fit) {
    return method |= lanes::run_smoother(some, lanes::smoother_group<Scalar>(problem.model.dims.n),
                                         lanes::group_width<Scalar>, mixed, result, threads, stop);
  }
  smooth_each<Univariate<Scalar>>(some, result, threads, stop);
  return method |= Way::univariate;
}

template Method smooth(const FilterProblem<double>&, const SmootherResult<double>&, int, Interrupt&);
template Method smooth(const FilterProblem<float>&, const SmootherResult<float>&, int, Interrupt&);

}  // namespace kelman::linear
