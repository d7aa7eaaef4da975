// SPDX-License-Identifier: BSD-3-Clause
// The log-likelihood with its derivative by every entry of the model and of the start.
//
// Derivatives by symmetric matrices (Q, R, covariances) are symmetric G with d loglik = sum_ij G_ij dQ_ij for symmetric
// dQ: an entry off the diagonal that moves alone, without its mirror image, counts once.
#pragma once

#include "kelman/linear/problem.hpp"

namespace kelman::linear {

/// Up to this many states `gradient` keeps moments of smoothed states, too: for more, its kernels would grow too long.
inline constexpr Index states_with_moments = 6;

/// Where a gradient goes. A field without time stride takes the sum over time; one without series stride the sum over
/// series, but for the mean, which is by series in any case. Null fields are not kept.
template <Real Scalar>
struct GradientResult {
  Field<Scalar> A, H, Q, R;             ///< (n×n), (m×n), (n×n), (m×m)
  Field<Scalar> B, D, b, c, S;          ///< (n×p), (m×p), (n), (m), (n×m)
  Field<Scalar> mean, cov, inf;         ///< by the start as it is posed (n), (n×n), (n×columns)
  Field<Scalar> noise_mean, noise_cov;  ///< by the noise before the first measurement (n), (n×n)
  Field<Scalar> loglik;                 ///< per series
  Field<std::int32_t> status;           ///< per series
  Field<std::int64_t> failed_at;        ///< per series
  /// Per series, where asked for (2×half, half = n + n(n+1)/2): over all steps but the last, and of the last, the sums
  /// of x_s - reference, and of P_s + its square, row by row up to the diagonal. `gradient` alone knows them; NaN where
  /// P - P N P lost digits.
  Field<Scalar> moments;
  Field<const Scalar> reference;  ///< (n), for the moments
};

/// Whether `gradient` takes this problem: n <= 8, no S, no exactly diffuse directions, every R positive definite, and R
/// diagonal unless the rows of z are either complete or missing.
template <Real Scalar>
[[nodiscard]] bool gradient_supported(const FilterProblem<Scalar>& problem);

/// Log-likelihood and gradient of every series; of a series that fails, NaN. With `summed` the gradient fields have no
/// series stride and take the sum over all series. Instantiated for double in the library.
template <Real Scalar>
void gradient(const FilterProblem<Scalar>& problem, const GradientResult<Scalar>& result, bool summed, int threads,
              Interrupt& stop);

/// The same with an exactly diffuse start, if `gradient` takes the problem once nothing is diffuse any more.
template <Real Scalar>
void diffuse_gradient(const FilterProblem<Scalar>& problem, const GradientResult<Scalar>& result, bool summed,
                      int threads, Interrupt& stop);

/// The same where model, start and gaps are the same in all chosen series: what does not depend on the data once. False
/// if that way does not suit, or some series has other gaps than the first: then the results are void.
template <Real Scalar>
[[nodiscard]] bool shared_gradient(const FilterProblem<Scalar>& problem, const GradientResult<Scalar>& result,
                                   bool summed, int threads, Interrupt& stop);

/// The same of a problem that `gradient` takes, where many series have the same gaps: that for each such group, and
/// `gradient` for the others. None if there are no such groups, or not as it seemed: then the results are void.
template <Real Scalar>
[[nodiscard]] Method grouped_gradient(const FilterProblem<Scalar>& problem, const GradientResult<Scalar>& result,
                                      bool summed, int threads, Interrupt& stop);

/// The same for every kind of problem, one series at a time.
template <Real Scalar>
void form_gradient(const FilterProblem<Scalar>& problem, const GradientResult<Scalar>& result, bool summed, int threads,
                   Interrupt& stop);

}  // namespace kelman::linear
