// SPDX-License-Identifier: BSD-3-Clause
// A whole filter or smoother problem, where its results go, and the verbs that solve it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kelman/core/parallel.hpp"
#include "kelman/core/status.hpp"
#include "kelman/linear/gaps.hpp"
#include "kelman/linear/method.hpp"
#include "kelman/linear/model.hpp"

namespace kelman::linear {

/// Where results go; null fields are not kept. A field without time stride keeps the last step.
/// With shared covariances the fields of covariances have no series stride, and the first block writes them.
template <Real Scalar>
struct FilterResult {
  Field<Scalar> mean, cov, predicted_mean, predicted_cov, innovation, innovation_cov, loglik_obs;
  Field<Scalar> loglik;
  Field<std::int32_t> status;
  Field<std::int64_t> failed_at;
  // the end state: moments after the last step, and of the noise that leads to the next
  Field<Scalar> state_mean, state_cov, state_inf, state_noise_mean, state_noise_cov, state_noise_cross;
  Field<std::int64_t> state_rank;
};

/// A filter problem.
template <Real Scalar>
struct FilterProblem {
  Model<Scalar> model;
  Start<Scalar> start;
  Data<Scalar> data;
  DiffuseConstant diffuse_constant = DiffuseConstant::kfas;
  bool steady = true;    ///< constant gains may take over once the covariances of a series have settled
  bool careful = false;  ///< every series by itself, in the form that takes every kind of model and start
  bool shared = false;   ///< model, start and missing pattern are the same for all series, and so are the lengths
  const Index* chosen = nullptr;  ///< the series to take (chosen_count), in this order; null: all of them
  Index chosen_count = 0;

  /// Number of series to take.
  [[nodiscard]] Index count() const noexcept { return chosen != nullptr ? chosen_count : model.dims.N; }

  /// The j-th of them.
  [[nodiscard]] Index series(Index j) const noexcept { return chosen != nullptr ? chosen[j] : j; }
};

/// Where a smoother writes; `lag_one_cov` and the filtered moments may be null. Entry k of `lag_one_cov` is
/// Cov(x_k, x_{k-1} | all).
template <Real Scalar>
struct SmootherResult {
  Field<Scalar> mean, cov, lag_one_cov, filtered_mean, filtered_cov;
  Field<Scalar> loglik;
  Field<std::int32_t> status;
  Field<std::int64_t> failed_at;
};

/// Whether all series have the same covariances: model, start, lengths and pattern of missing components are equal.
/// With `assume` only a few series are compared: whoever computes finds the others out.
template <Real Scalar>
[[nodiscard]] bool shares_covariances(const Model<Scalar>& model, const Start<Scalar>& start, const Data<Scalar>& data,
                                      bool assume) noexcept {
  const Dims& dims = model.dims;
  if (dims.N < 2 || !model.shares_covariances() || !start.shares_covariances()) {
    return false;
  }
  for (Index i = 1; i < dims.N; ++i) {
    if ((start.rank && *start.rank.at(i) != *start.rank.at(0)) || data.length(i, dims.T) != data.length(0, dims.T)) {
      return false;
    }
  }
  const Index length = data.length(0, dims.T);
  const Index stride = assume ? std::max<Index>(dims.N / 16, 1) : 1;
  for (Index i = stride; i < dims.N && !data.z.shared(); i += stride) {
    if (!same_gaps(data.z, Index(0), i, length, dims.m)) {
      return false;
    }
  }
  return true;
}

/// Roughly how many operations one time step of one series costs.
template <Real Scalar>
[[nodiscard]] double work_per_step(const Model<Scalar>& model, bool shared) noexcept {
  const auto n = static_cast<double>(model.dims.n);
  const auto m = static_cast<double>(model.dims.m);
  const auto s = static_cast<double>(model.size());
  const double means = 2 * n * n + 4 * m * s + 30;
  return shared ? means : means + 3 * n * n * n + 3 * m * s * s + 100;
}

/// Series per chunk, so that a chunk is some hundred microseconds of work and threads finish together.
[[nodiscard]] inline Index chunk_of(const Dims& dims, double step) noexcept {
  const double series = step * static_cast<double>(dims.T);
  return static_cast<Index>(std::clamp(1e5 / std::max(series, 1.0), 1.0, 1024.0));
}

/// Filters every series and tells how; instantiated for double and float in the library.
template <Real Scalar>
Method filter(const FilterProblem<Scalar>& problem, const FilterResult<Scalar>& result, int threads, Interrupt& stop);

/// Smooths every series and tells how; instantiated for double and float in the library.
template <Real Scalar>
Method smooth(const FilterProblem<Scalar>& problem, const SmootherResult<Scalar>& result, int threads, Interrupt& stop);

}  // namespace kelman::linear
