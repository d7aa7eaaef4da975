// SPDX-License-Identifier: BSD-3-Clause
// The derivatives by the start as it was posed, from those by the state at the first measurement.
#pragma once

#include "kelman/linalg/product.hpp"
#include "kelman/linear/gradient.hpp"

namespace kelman::linear::lanes {

/// Adds `values` (count) to the entry of series i.
template <Real Scalar>
void accumulate(Index count, const Scalar* values, const Field<Scalar>& field, Index i) noexcept {
  for (Index e = 0; field && e < count; ++e) {
    field.at(i, 0)[e] += values[e];
  }
}

/// x_1 ~ (mean, cov); or x_0 ~ (mean, cov), x_1 = A x_0 + B u + b + w with w ~ (., W), Cov(x_0, w) = C. With r (n) the
/// derivative by the mean of x_1 and G (n×n) that by its covariance:
///   dmean = A'r,  dcov = A'G A,  dW = G,  dA += r mean' + 2G (A cov + C'),  db += r,  dB += r u'
/// `work` has 4n² numbers.
template <Real Scalar>
[[gnu::noinline]] void differentiate_start(const FilterProblem<Scalar>& problem, Index i, const Scalar* r,
                                           const Scalar* G, Scalar* work,
                                           const GradientResult<Scalar>& result) noexcept {
  const Index n = problem.model.dims.n;
  const Index p = problem.model.dims.p;
  const Start<Scalar>& start = problem.start;
  if (!start.before_first) {
    accumulate(n, r, result.mean, i);
    accumulate(n * n, G, result.cov, i);
    return;
  }
  accumulate(n, r, result.b, i);
  accumulate(n, r, result.noise_mean, i);
  accumulate(n * n, G, result.noise_cov, i);
  const Scalar* const A = problem.model.A.at(i, 0);
  Scalar* const turned = work;             // A'
  Scalar* const product = work + n * n;    // G A, then G (A cov + C')
  Scalar* const out = work + 2 * n * n;    // A'G A, then dA
  Scalar* const moved = work + 3 * n * n;  // A cov + C'
  linalg::transpose(n, n, A, n, turned, n);
  linalg::multiply(n, n, n, G, n, A, n, product, n);
  linalg::multiply(n, n, n, turned, n, product, n, out, n);
  accumulate(n * n, out, result.cov, i);
  linalg::multiply(n, n, n, A, n, start.cov.at(i), n, moved, n);
  for (Index row = 0; row < n; ++row) {
    for (Index col = 0; start.noise_cross && col < n; ++col) {
      moved[row * n + col] += start.noise_cross.at(i)[col * n + row];
    }
  }
  linalg::multiply(n, n, n, G, n, moved, n, product, n);
  const Scalar* const mean = start.mean.at(i);
  for (Index row = 0; row < n; ++row) {
    Scalar back(0);
    for (Index e = 0; e < n; ++e) {
      back = fused(turned[row * n + e], r[e], back);
      out[row * n + e] = fused(r[row], mean[e], Scalar(2) * product[row * n + e]);
    }
    if (result.mean) {
      result.mean.at(i)[row] += back;
    }
  }
  accumulate(n * n, out, result.A, i);
  const Scalar* const u = problem.data.driving_input(problem.model.input_lag, i, 0);
  for (Index row = 0; result.B && u != nullptr && row < n; ++row) {
    for (Index e = 0; e < p; ++e) {
      result.B.at(i, 0)[row * p + e] += r[row] * u[e];
    }
  }
}

}  // namespace kelman::linear::lanes
