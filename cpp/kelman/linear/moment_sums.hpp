// SPDX-License-Identifier: BSD-3-Clause
// Sums over time of the smoothed second moments of regressors: with the gradient, all that an EM iteration asks of
// data.
//
//   y_k = [x_k - reference; u; 1]      (q) = (n) + (p) + (1)
//   sum_k E[y_k y_k' | all z] = sum_k [P_k|T 0; 0 0] + yhat_k yhat_k'
//
// over sets of steps k of a series:
//
//   0        steps that a transition follows, with the input that drives it:   x_{k+1} = A x_k + B u + b + w_k
//   1        steps measured in full, with the input that is fed through:       z_k = H x_k + D u_k + c + v_k
//   2        steps of which some components are measured and some are not
//   3 + j    those of set 2 of which component j is measured
//
// The series are smoothed block by block into memory that stays in the cache: no covariance path of all series is
// written anywhere. (R. H. Shumway and D. S. Stoffer, J. Time Ser. Anal. 3 (1982) 253: the sums of EM.)
#pragma once

#include "kelman/linear/problem.hpp"

namespace kelman::linear {

/// Where the sums go: the first `sets` of them. Fields of a series that failed have nothing added.
struct MomentSums {
  Index sets = 0;
  Field<const double> reference;  ///< per series (n)
  Field<double> sums;             ///< (sets×q×q), zero before; without series stride the sum over all series
  Field<double> loglik;           ///< per series
  Field<std::int32_t> status;     ///< per series
  Field<std::int64_t> failed_at;  ///< per series
};

/// Smooths every series and adds up. The sums are the same to the bit for any number of threads.
void moment_sums(const FilterProblem<double>& problem, const MomentSums& result, int threads, Interrupt& stop);

}  // namespace kelman::linear
