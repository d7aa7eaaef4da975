// SPDX-License-Identifier: BSD-3-Clause
// What a filter writes about one series besides its means: covariances, its end, and NaN where nothing is known.
#pragma once

#include <algorithm>
#include <limits>

#include "kelman/linalg/vector.hpp"
#include "kelman/linear/forms/form.hpp"
#include "kelman/linear/problem.hpp"

namespace kelman::linear {

/// Sets entries `from` to T of a field to NaN; of a field that keeps the last step only, that step if the series failed
/// or is empty.
template <Real Scalar>
void blank(const Field<Scalar>& field, Index i, Index from, Index T, Index count, bool failed) noexcept {
  if (!field) {
    return;
  }
  const Scalar nan = std::numeric_limits<Scalar>::quiet_NaN();
  if (field.constant()) {
    if (failed || from == 0) {
      std::fill_n(field.at(i), count, nan);
    }
    return;
  }
  for (Index k = from; k < T; ++k) {
    std::fill_n(field.at(i, k), count, nan);
  }
}

/// Writes the results of a filter, series by series; plain views, so that it is copied freely.
template <Real Scalar>
class Record {
 public:
  Record(const FilterProblem<Scalar>& problem, const FilterResult<Scalar>& result)
      : result_(result),
        n_(problem.model.dims.n),
        m_(problem.model.dims.m),
        T_(problem.model.dims.T),
        columns_(problem.start.columns) {}

  /// Covariances of step k before its measurement.
  template <Form F>
  void predicted(Index i, Index k, F& form) const noexcept {
    if (result_.predicted_cov) {
      const auto moments = form.moments();
      linalg::copy_block(n_, n_, moments.cov, moments.cov_ld, result_.predicted_cov.at(i, k), n_);
    }
    if (result_.innovation_cov) {
      form.innovation_cov(i, k, result_.innovation_cov.at(i, k));
    }
  }

  /// Covariance of step k after its measurement.
  template <Form F>
  void filtered(Index i, Index k, const F& form) const noexcept {
    if (result_.cov) {
      const auto moments = form.moments();
      linalg::copy_block(n_, n_, moments.cov, moments.cov_ld, result_.cov.at(i, k), n_);
    }
  }

  /// What is known of the covariances after the last step; NaN from step `from` on.
  template <Form F>
  void end_covariances(Index i, Index from, bool failed, const F& form) const noexcept {
    blank(result_.cov, i, from, T_, n_ * n_, failed);
    blank(result_.predicted_cov, i, from, T_, n_ * n_, failed);
    blank(result_.innovation_cov, i, from, T_, m_ * m_, failed);
    if (!result_.state_cov) {
      return;
    }
    const auto moments = form.moments();
    linalg::copy_block(n_, n_, moments.cov, moments.cov_ld, result_.state_cov.at(i), n_);
    blank(result_.state_cov, i, Index(1), Index(1), n_ * n_, failed);
    *result_.state_rank.at(i) = static_cast<std::int64_t>(moments.rank);
    std::fill_n(result_.state_inf.at(i), n_ * columns_, Scalar(0));
    linalg::copy_block(n_, moments.rank, moments.factor, moments.factor_ld, result_.state_inf.at(i), columns_);
    if (result_.state_noise_cov && moments.noise_cov != nullptr) {
      linalg::copy_block(n_, n_, moments.noise_cov, moments.noise_cov_ld, result_.state_noise_cov.at(i), n_);
    }
    if (result_.state_noise_cross && moments.noise_cross != nullptr) {
      linalg::copy_block(n_, n_, moments.noise_cross, moments.noise_cross_ld, result_.state_noise_cross.at(i), n_);
    }
  }

  /// The last mean of the vector carried (x, and with S also w), the log-likelihood and the outcome of a series of
  /// `length` steps; NaN after its end or its failure.
  void end_means(Index i, Index length, const Scalar* x, double loglik, const Outcome& outcome) const noexcept {
    const bool failed = !outcome.usable();
    const Index from = failed ? outcome.at : length;
    if (from < T_ || length == 0) {
      blank(result_.mean, i, from, T_, n_, failed);
      blank(result_.predicted_mean, i, from, T_, n_, failed);
      blank(result_.innovation, i, from, T_, m_, failed);
      blank(result_.loglik_obs, i, from, T_, Index(1), failed);
    }
    if (result_.state_mean) {
      if (x != result_.state_mean.at(i)) {
        std::copy_n(x, n_, result_.state_mean.at(i));
      }
      blank(result_.state_mean, i, Index(1), Index(1), n_, failed);
      if (result_.state_noise_mean) {  // only with S: else it is zero
        std::copy_n(x + n_, n_, result_.state_noise_mean.at(i));
      }
    }
    *result_.loglik.at(i) = failed ? std::numeric_limits<Scalar>::quiet_NaN() : static_cast<Scalar>(loglik);
    *result_.status.at(i) = static_cast<std::int32_t>(outcome.status);
    *result_.failed_at.at(i) = static_cast<std::int64_t>(outcome.at);
  }

 private:
  FilterResult<Scalar> result_;
  Index n_;
  Index m_;
  Index T_;
  Index columns_;
};

}  // namespace kelman::linear
