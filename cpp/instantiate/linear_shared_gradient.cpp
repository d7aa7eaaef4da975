// SPDX-License-Identifier: BSD-3-Clause
// The gradient of series with the same covariances, for double; single precision is computed in double.
#include "kelman/linear/patterns.hpp"
#include "kelman/linear/shared/gradient.hpp"

namespace kelman::linear {

template <Real Scalar>
bool shared_gradient(const FilterProblem<Scalar>& problem, const GradientResult<Scalar>& result, bool summed,
                     int threads, Interrupt& stop) {
  return shared::takes_gradient(problem) &&
         shared::SharedGradient<Univariate<Scalar>>(problem, result, summed, threads, stop).run();
}

template <Real Scalar>
Method grouped_gradient(const FilterProblem<Scalar>& problem, const GradientResult<Scalar>& result, bool summed,
                        int threads, Interrupt& stop) {
  if (problem.careful || !gradient_supported(problem)) {
    return {};
  }
  const Patterns patterns = find_patterns(problem, smallest_group<Scalar>(true));
  FilterProblem<Scalar> some = problem;
  Method method;
  Index begin = 0;
  for (const Index end : patterns.ends) {
    some.chosen = patterns.series.data() + begin;
    some.chosen_count = end - begin;
    if (!stop.requested() && !shared_gradient(some, result, summed, threads, stop)) {
      return {};
    }
    method = Way::grouped;
    begin = end;
  }
  if (!method.none() && !patterns.rest.empty() && !stop.requested()) {
    some.chosen = patterns.rest.data();
    some.chosen_count = static_cast<Index>(patterns.rest.size());
    gradient(some, result, summed, threads, stop);
    method |= Way::lanes;
  }
  return method;
}

template bool shared_gradient(const FilterProblem<double>&, const GradientResult<double>&, bool, int, Interrupt&);
template Method grouped_gradient(const FilterProblem<double>&, const GradientResult<double>&, bool, int, Interrupt&);

}  // namespace kelman::linear
