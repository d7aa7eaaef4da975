// SPDX-License-Identifier: BSD-3-Clause
// Which way a filter problem takes. The first that fits:
//
//   careful      the user asked for it (form="univariate"): one series at a time
//   shared       model, start and gaps are the same in all series: covariances once
//   grouped      model and start are, and many series have the same gaps: covariances once for each such group, and the
//                others by what follows
//   single       regular models (lanes/filter.hpp) of up to 8 states, fewer series than fit into a register: one by one
//   lanes        regular models of up to 64 states: series side by side
//   otherwise    one series at a time
//
// The way depends on the sizes and on what is the same for all series, never on the number of threads.
#pragma once

#include "kelman/linear/filter.hpp"
#include "kelman/linear/lanes/filter.hpp"
#include "kelman/linear/shared/grouped.hpp"
#include "kelman/linear/single/run.hpp"

namespace kelman::linear {

/// Filters the chosen series of a problem that shares nothing, side by side if they `fit` into lanes.
template <Real Scalar>
Method run_unshared(const FilterProblem<Scalar>& problem, const FilterResult<Scalar>& result, bool fit, int threads,
                    Interrupt& stop) {
  if (!fit) {
    return run_filter<Univariate<Scalar>>(problem, result, threads, stop);
  }
  if constexpr (std::is_same_v<Scalar, double>) {
    if (single::few(problem.model.dims)) {
      return single::run(problem, result, threads, stop);
    }
  }
  return lanes::run(problem, result, threads, stop);
}

/// Filters every series of a problem by the way that suits it, and tells which it was: none, if the gaps were only
/// assumed to be the same in all series and are not. The results are void then.
template <Real Scalar>
Method run_plan(const FilterProblem<Scalar>& problem, const FilterResult<Scalar>& result, int threads,
                Interrupt& stop) {
  if (shared::applies(problem)) {
    return run_shared<Univariate<Scalar>>(problem, result, threads, stop) ? Method(Way::shared) : Method();
  }
  if (problem.careful || problem.shared) {
    return run_filter<Univariate<Scalar>>(problem, result, threads, stop);
  }
  const bool fit = lanes::serves(problem);
  const Patterns patterns = find_patterns(problem, smallest_group<Scalar>(fit));
  if (patterns.series.empty()) {
    return run_unshared(problem, result, fit, threads, stop);
  }
  run_grouped<Univariate<Scalar>>(problem, result, patterns, threads, stop);
  Method method = Way::grouped;
  if (!patterns.rest.empty() && !stop.requested()) {
    FilterProblem<Scalar> others = problem;
    others.chosen = patterns.rest.data();
    others.chosen_count = static_cast<Index>(patterns.rest.size());
    method |= run_unshared(others, result, fit, threads, stop);
  }
  return method;
}

}  // namespace kelman::linear
