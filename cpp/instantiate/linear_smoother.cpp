// SPDX-License-Identifier: BSD-3-Clause
// The smoother for double and float: the first of these ways that fits, as in plan.hpp.
//
//   shared       model, start and gaps are the same in all series: covariances once
//   grouped      model and start are, and many series have the same gaps: covariances once for each such group
//   lanes        regular problems, series side by side
//   otherwise    one series at a time
//
// Filtered moments that are asked for too come from the same pass in the last of these, else from a call of the filter.
#include "kelman/linear/lanes/regular.hpp"
#include "kelman/linear/lanes/smoother_run.hpp"
#include "kelman/linear/patterns.hpp"
#include "kelman/linear/smoother_batch.hpp"

namespace kelman::linear {

namespace {

/// Fills the filtered moments of a result, if it keeps them. Returns the result without them.
template <Real Scalar>
SmootherResult<Scalar> filter_first(const FilterProblem<Scalar>& problem, SmootherResult<Scalar> result, int threads,
                                    Interrupt& stop) {
  if (result.filtered_mean) {
    FilterResult<Scalar> filtered;
    filtered.mean = result.filtered_mean;
    filtered.cov = result.filtered_cov;
    filtered.loglik = result.loglik;
    filtered.status = result.status;
    filtered.failed_at = result.failed_at;
    filter(problem, filtered, threads, stop);
    result.filtered_mean = result.filtered_cov = Field<Scalar>{};
  }
  return result;
}

}  // namespace

template <Real Scalar>
Method smooth(const FilterProblem<Scalar>& problem, const SmootherResult<Scalar>& result, int threads,
              Interrupt& stop) {
  if (problem.shared) {
    smooth_shared<Univariate<Scalar>>(problem, filter_first(problem, result, threads, stop), threads, stop);
    return Way::shared;
  }
  bool mixed = false;
  const bool fit = lanes::regular(problem, mixed);
  const Patterns patterns = problem.careful ? Patterns{} : find_patterns(problem, smallest_group<Scalar>(fit));
  const bool apart = !fit && patterns.ends.empty();
  const SmootherResult<Scalar> smoothed = apart ? result : filter_first(problem, result, threads, stop);
  FilterProblem<Scalar> some = problem;
  Method method;
  Index begin = 0;
  for (const Index end : patterns.ends) {
    if (stop.requested()) {
      return method;
    }
    some.chosen = patterns.series.data() + begin;
    some.chosen_count = end - begin;
    smooth_shared<Univariate<Scalar>>(some, smoothed, threads, stop);
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
                                         lanes::group_width<Scalar>, mixed, smoothed, threads, stop);
  }
  return method |= smooth_each<Univariate<Scalar>>(some, smoothed, threads, stop);
}

template Method smooth(const FilterProblem<double>&, const SmootherResult<double>&, int, Interrupt&);
template Method smooth(const FilterProblem<float>&, const SmootherResult<float>&, int, Interrupt&);

}  // namespace kelman::linear
