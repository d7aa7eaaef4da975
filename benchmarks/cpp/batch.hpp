// SPDX-License-Identifier: BSD-3-Clause
// A batch of series with its model, and room for the results of every verb.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kelman/linear/gradient.hpp"
#include "kelman/linear/problem.hpp"

namespace benchmarks {

using kelman::Index;
namespace linear = kelman::linear;

/// What the series have in common.
enum class Kind {
  shared,  ///< one model, nothing missing
  gaps,    ///< one model, a tenth of the vectors missing, differently in each series
  own,     ///< a model for each series
};

/// A stable chain of n states whose first m are measured; n = 4, m = 2 is position and velocity in the plane.
class Batch {
 public:
  Batch(Index n, Index m, Index N, Index T, Kind kind) : n_(n), m_(m), N_(N), T_(T) {
    const Index copies = kind == Kind::own ? N : 1;
    for (Index i = 0; i < copies; ++i) {
      append_model(1.0 + 0.01 * static_cast<double>(i % 7));
    }
    x_.assign(size(n), 0.0);
    P_.assign(size(n * n), 0.0);
    for (Index i = 0; i < n; ++i) {
      P_[size(i * n + i)] = 10.0;
    }
    std::mt19937_64 generator(1);
    std::normal_distribution<double> normal;
    std::uniform_real_distribution<double> uniform;
    z_.resize(size(N * T * m));
    for (double& value : z_) {
      value = normal(generator);
    }
    for (Index row = 0; kind == Kind::gaps && row < N * T; ++row) {
      if (uniform(generator) < 0.1) {
        std::fill_n(z_.begin() + row * m, m, std::numeric_limits<double>::quiet_NaN());
      }
    }
    const Index each = kind == Kind::own ? 1 : 0;
    problem.model.dims = {n, m, 0, T, N};
    problem.model.A = {A_.data(), each * n * n, 0};
    problem.model.H = {H_.data(), each * m * n, 0};
    problem.model.Q = {Q_.data(), each * n * n, 0};
    problem.model.R = {R_.data(), each * m * m, 0};
    problem.start.mean = {x_.data(), 0, 0};
    problem.start.cov = {P_.data(), 0, 0};
    problem.data.z = {z_.data(), T * m, m};
    problem.shared = linear::shares_covariances(problem.model, problem.start, problem.data, false);
    loglik_.assign(size(N), 0.0);
    status_.assign(size(N), 0);
    failed_.assign(size(N), 0);
  }

  void loglik() {
    linear::FilterResult<double> result;
    finish(result);
    kelman::Interrupt stop;
    linear::filter(problem, result, 1, stop);
  }

  void filter() {
    linear::FilterResult<double> result;
    moments(result);
    finish(result);
    kelman::Interrupt stop;
    linear::filter(problem, result, 1, stop);
  }

  void smooth() {
    linear::SmootherResult<double> result;
    moments(result);
    finish(result);
    kelman::Interrupt stop;
    linear::smooth(problem, result, 1, stop);
  }

  /// Summed where the model is shared, else by series.
  void gradient() {
    const bool summed = problem.model.shares_covariances();
    const Index each = summed ? 0 : 1;
    const std::vector<Index> sizes{n_ * n_, m_ * n_, n_ * n_, m_ * m_, n_ * n_};
    Index total = 0;
    for (const Index one : sizes) {
      total += one;
    }
    derivatives_.assign(size((summed ? 1 : N_) * total + N_ * n_), 0.0);
    linear::GradientResult<double> result;
    double* at = derivatives_.data();
    const std::vector<kelman::Field<double>*> field{&result.A, &result.H, &result.Q, &result.R, &result.cov};
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      *field[i] = {at, each * sizes[i], 0};
      at += (summed ? 1 : N_) * sizes[i];
    }
    result.mean = {at, n_, 0};
    finish(result);
    kelman::Interrupt stop;
    linear::gradient(problem, result, summed, 1, stop);
  }

  linear::FilterProblem<double> problem;

 private:
  static std::size_t size(Index count) { return static_cast<std::size_t>(count); }

  void append_model(double noise) {
    for (Index i = 0; i < n_; ++i) {
      for (Index j = 0; j < n_; ++j) {
        A_.push_back(i == j ? 0.95 : (j == i + m_ ? 1.0 : 0.01 / static_cast<double>(1 + i + j)));
        Q_.push_back(i == j ? 0.1 * noise : 0.002);
      }
    }
    for (Index i = 0; i < m_; ++i) {
      for (Index j = 0; j < n_; ++j) {
        H_.push_back(i == j ? 1.0 : 0.05);
      }
      for (Index j = 0; j < m_; ++j) {
        R_.push_back(i == j ? noise : 0.0);
      }
    }
  }

  template <class Result>
  void moments(Result& result) {
    mean_.resize(size(N_ * T_ * n_));
    cov_.resize(size((problem.shared ? 1 : N_) * T_ * n_ * n_));
    result.mean = {mean_.data(), T_ * n_, n_};
    result.cov = {cov_.data(), problem.shared ? 0 : T_ * n_ * n_, n_ * n_};
  }

  template <class Result>
  void finish(Result& result) {
    result.loglik = {loglik_.data(), 1, 0};
    result.status = {status_.data(), 1, 0};
    result.failed_at = {failed_.data(), 1, 0};
  }

  Index n_;
  Index m_;
  Index N_;
  Index T_;
  std::vector<double> A_, H_, Q_, R_, x_, P_, z_, mean_, cov_, derivatives_, loglik_;
  std::vector<std::int32_t> status_;
  std::vector<std::int64_t> failed_;
};

}  // namespace benchmarks
