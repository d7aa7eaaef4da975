// SPDX-License-Identifier: BSD-3-Clause
// Where a series enters its group: the moments predicted for its first step in the lanes.
//
// Steps in which the start is diffuse are taken before by the form that serves every start; what it leaves is predicted
// one step here, with the arithmetic of the lanes, as is a start given one step before the first measurement.
#pragma once

#include "kelman/linear/filter.hpp"
#include "kelman/linear/lanes/recursion.hpp"

namespace kelman::linear::lanes {

/// One series at its entry.
template <Real Scalar>
struct Entry {
  Index begin = 0;         ///< first step in the lanes
  double loglik = 0;       ///< of the steps before
  Scalar* x = nullptr;     ///< predicted mean (n)
  Scalar* P = nullptr;     ///< predicted covariance, triangle
  Scalar* work = nullptr;  ///< (n + n×n), and for the tiles n + 2 n×n more
};

/// Numbers of scratch that an entry needs, with n for its drive.
[[nodiscard]] constexpr Index entry_work(Index n) noexcept { return n * (n + 2) + (n > largest_n ? 2 * n * n : 0); }

/// x <- A x + d (null: zero),  P <- A P A' + Q (null: zero), as predict_mean and predict_covariance do.
template <Real Scalar>
void predict_entry(Index n, const Scalar* A, const Scalar* Q, const Scalar* d, const Entry<Scalar>& entry) noexcept {
  const auto at = [](Index i, Index j) { return i >= j ? i * (i + 1) / 2 + j : j * (j + 1) / 2 + i; };
  Scalar* const next = entry.work;
  Scalar* const G = entry.work + n;
  for (Index i = 0; i < n; ++i) {
    Scalar total = A[i * n] * entry.x[0];
    for (Index l = 1; l < n; ++l) {
      total = fused(A[i * n + l], entry.x[l], total);
    }
    next[i] = d != nullptr ? total + d[i] : total;
    for (Index l = 0; l < n; ++l) {
      Scalar sum = A[i * n] * entry.P[at(0, l)];
      for (Index k = 1; k < n; ++k) {
        sum = fused(A[i * n + k], entry.P[at(k, l)], sum);
      }
      G[i * n + l] = sum;
    }
  }
  std::copy_n(next, n, entry.x);
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j <= i; ++j) {
      Scalar total = Q != nullptr ? Q[i * n + j] : Scalar(0);
      for (Index l = 0; l < n; ++l) {
        total = fused(A[j * n + l], G[i * n + l], total);
      }
      entry.P[at(i, j)] = total;
    }
  }
}

/// The same for states beyond those that are unrolled, by products of whole matrices.
template <Real Scalar>
void predict_large_entry(Index n, const Scalar* A, const Scalar* Q, const Scalar* d,
                         const Entry<Scalar>& entry) noexcept {
  Scalar* const G = entry.work + n;
  Scalar* const P = entry.work + n * (n + 2);
  Scalar* const turned = P + n * n;
  linalg::matvec(n, n, A, n, entry.x, entry.work);
  for (Index i = 0; i < n; ++i) {
    entry.x[i] = d != nullptr ? entry.work[i] + d[i] : entry.work[i];
    std::copy_n(entry.P + i * (i + 1) / 2, i + 1, P + i * n);
  }
  linalg::mirror(n, P, n);
  linalg::transpose(n, n, A, n, turned, n);
  linalg::multiply(n, n, n, P, n, turned, n, G, n);
  const linalg::Into into = Q != nullptr ? linalg::Into::add : linalg::Into::set;
  linalg::multiply_symmetric<Scalar>(n, n, {A, n, 1}, G, n, {into, P, n, Q, n});
  for (Index i = 0; i < n; ++i) {
    std::copy_n(P + i * n, i + 1, entry.P + i * (i + 1) / 2);
  }
}

/// d = b + B u + w into step k                                                                            (n)
template <Real Scalar>
void drive_entry(const FilterProblem<Scalar>& problem, Index i, Index k, const Scalar* w, Scalar* d) noexcept {
  const Model<Scalar>& model = problem.model;
  const auto [n, m, p, T, N] = model.dims;
  const Scalar* const u = problem.data.driving_input(model.input_lag, i, k);
  for (Index row = 0; row < n; ++row) {
    d[row] = model.b ? model.b.at(i, k)[row] : Scalar(0);
    for (Index l = 0; model.B && u != nullptr && l < p; ++l) {
      d[row] = fused(model.B.at(i, k)[row * p + l], u[l], d[row]);
    }
    d[row] += w != nullptr ? w[row] : Scalar(0);
  }
}

/// Takes the diffuse steps of series i, if there are any, and predicts its moments for the step after. False if nothing
/// is left for the lanes: then the series is finished.
template <Real Scalar>
[[nodiscard]] bool enter(const FilterProblem<Scalar>& problem, Index i, Filter<Univariate<Scalar>>& careful,
                         Scalar* drive, Entry<Scalar>& entry) noexcept {
  const Start<Scalar>& start = problem.start;
  const Model<Scalar>& model = problem.model;
  const Index n = model.dims.n;
  const bool diffuse = start.inf && start.rank && *start.rank.at(i) > 0;
  const Scalar* x = start.mean.at(i);
  const Scalar* P = start.cov.at(i);
  Index row = n;  // length of a row of P
  entry.begin = 0;
  entry.loglik = 0;
  if (diffuse) {
    entry.begin = careful.lead(i);
    if (entry.begin == problem.data.length(i, model.dims.T)) {
      return false;
    }
    const auto moments = careful.form().moments();
    entry.loglik = careful.state().loglik;
    x = careful.state().x;
    P = moments.cov;
    row = moments.cov_ld;
  }
  std::copy_n(x, n, entry.x);
  for (Index a = 0; a < n; ++a) {
    std::copy_n(P + a * row, a + 1, entry.P + a * (a + 1) / 2);
  }
  const Index k = entry.begin;
  if (k > 0 || start.before_first) {
    const Scalar* const w = k == 0 && start.noise_mean ? start.noise_mean.at(i) : nullptr;
    const Scalar* const first = start.noise_cov ? start.noise_cov.at(i) : nullptr;
    drive_entry(problem, i, k, w, drive);
    const auto predict = n > largest_n ? predict_large_entry<Scalar> : predict_entry<Scalar>;
    predict(n, model.A.at(i, k), k > 0 ? model.Q.at(i, k - 1) : first, drive, entry);
  }
  return true;
}

}  // namespace kelman::linear::lanes
