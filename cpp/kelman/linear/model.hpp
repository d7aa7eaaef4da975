// SPDX-License-Identifier: BSD-3-Clause
// A linear-Gaussian state-space problem as plain views: the model, its start, and the data.
//
//   x_k = A_k x_{k-1} + B_k u_k + b_k + w_{k-1}        (n) = (n×n)(n) + (n×p)(p) + (n) + (n)
//   z_k = H_k x_k + D_k u_k + c_k + v_k                (m) = (m×n)(n) + (m×p)(p) + (m) + (m)
//   Cov w_k = Q_k (n×n), Cov v_k = R_k (m×m), Cov(w_k, v_k) = S_k (n×m); w_k acts between x_k and x_{k+1}.
//
// With `input_lag` B_k u_{k-1} drives x_k instead. Covariances are symmetric positive semi-definite: the caller
// checked.
#pragma once

#include <cstdint>

#include "kelman/core/dims.hpp"
#include "kelman/core/field.hpp"

namespace kelman::linear {

/// The matrices of the two equations, each a field over (series, time). B, D, b, c and S may be null.
template <Real Scalar>
struct Model {
  Dims dims;
  Field<const Scalar> A, H, Q, R, B, D, b, c, S;
  bool input_lag = false;

  /// With S the recursion carries (x, w, v) jointly.
  [[nodiscard]] bool joint() const noexcept { return static_cast<bool>(S); }

  /// Whether the components of a step may be worth processing together (block.hpp).
  [[nodiscard]] bool wide() const noexcept { return !joint() && dims.n >= 16 && dims.m >= 4; }

  /// Length of the vector that the recursion carries: n, or 2n + m with S.
  [[nodiscard]] Index size() const noexcept { return joint() ? 2 * dims.n + dims.m : dims.n; }

  /// Whether the covariances follow the same model in all series.
  [[nodiscard]] bool shares_covariances() const noexcept {
    return A.shared() && H.shared() && Q.shared() && R.shared() && S.shared();
  }
};

/// What is known before the first measurement, per series.
///
/// `before_first` false: moments of x at the first measurement. True: moments of the state one step before, together
/// with those of the noise w that leads to the first measurement (null = zero), given everything before.
/// The exactly diffuse part is the factor `inf` (n×columns), of which the first `rank` columns are in use.
template <Real Scalar>
struct Start {
  bool before_first = false;
  Index columns = 0;
  Field<const Scalar> mean, cov, inf;
  Field<const std::int64_t> rank;
  Field<const Scalar> noise_mean, noise_cov, noise_cross;

  /// Whether the covariances start the same in all series (the ranks are compared by the caller).
  [[nodiscard]] bool shares_covariances() const noexcept {
    return cov.shared() && inf.shared() && noise_cov.shared() && noise_cross.shared();
  }
};

/// Measurements (NaN = missing) and inputs.
template <Real Scalar>
struct Data {
  Field<const Scalar> z, u, u_before;
  Field<const std::int64_t> lengths;

  /// Number of time steps of series `i`.
  [[nodiscard]] Index length(Index i, Index T) const noexcept {
    return lengths ? static_cast<Index>(*lengths.at(i)) : T;
  }

  /// The input that drives the transition into x_k, or null if there is none.
  [[nodiscard]] const Scalar* driving_input(bool input_lag, Index i, Index k) const noexcept {
    if (!u) {
      return nullptr;
    }
    if (!input_lag) {
      return u.at(i, k);
    }
    if (k > 0) {
      return u.at(i, k - 1);
    }
    return u_before ? u_before.at(i) : nullptr;
  }

  /// The input that is fed through to z_k, or null.
  [[nodiscard]] const Scalar* direct_input(Index i, Index k) const noexcept { return u ? u.at(i, k) : nullptr; }
};

/// How the exact diffuse likelihood counts the elements that determine the diffuse states.
enum class DiffuseConstant { kfas, statsmodels };

}  // namespace kelman::linear
