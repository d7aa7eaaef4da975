// SPDX-License-Identifier: BSD-3-Clause
// The filter online, as its callers see it: nothing of the recursion, which is compiled in the library.
#pragma once

#include <memory>

#include "kelman/linear/forms/form.hpp"
#include "kelman/linear/mean.hpp"
#include "kelman/linear/problem.hpp"

namespace kelman::linear {

/// N series on their way through time, one step per call.
template <Real Scalar>
class OnlineFilter {
 public:
  OnlineFilter() = default;
  OnlineFilter(const OnlineFilter&) = delete;
  OnlineFilter& operator=(const OnlineFilter&) = delete;
  OnlineFilter(OnlineFilter&&) = delete;
  OnlineFilter& operator=(OnlineFilter&&) = delete;
  virtual ~OnlineFilter() = default;

  /// Takes z_k (N×m; NaN = missing) with the inputs `u` (N×p) that are fed through and `driving` (N×p) that lead into
  /// x_k (null fields = none); where `measured` (N; null = everywhere) is zero, all of z_k is missing. `mean` (N×n)
  /// gets the filtered means and `loglik` (N) the contributions of this step; null is allowed. Tells whether some
  /// series got into trouble in this step.
  virtual bool step(const Field<const Scalar>& z, const Field<const Scalar>& u, const Field<const Scalar>& driving,
                    const unsigned char* measured, Scalar* mean, Scalar* loglik) = 0;

  /// Time steps taken so far.
  [[nodiscard]] virtual Index steps() const noexcept = 0;

  /// Whether all series still have the same covariances.
  [[nodiscard]] virtual bool shared() const noexcept = 0;

  /// The mean of series i, (x) or with S (x, w, v).
  [[nodiscard]] virtual const MeanState<Scalar>& state(Index i) const noexcept = 0;

  /// The covariances of series i. Views into the object, valid until the next step.
  [[nodiscard]] virtual Moments<Scalar> moments(Index i) const noexcept = 0;
};

/// Starts before the first measurement of a problem, of whose data only the shapes count. The views must stay valid as
/// long as the object lives. `shared`: model and start are the same for all series. Defined in the library.
template <Real Scalar>
[[nodiscard]] std::unique_ptr<OnlineFilter<Scalar>> make_online(const FilterProblem<Scalar>& problem, bool shared);

}  // namespace kelman::linear
