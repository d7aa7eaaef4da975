// SPDX-License-Identifier: BSD-3-Clause
// LDL' factorisation of a positive semi-definite matrix, with pivots that are exactly zero where it is singular.
//
//   R = L D L'      L unit lower triangular (m×m), D diagonal (m)
//
// Used to decorrelate a measurement: z = H x + v with Cov v = R becomes L⁻¹z = (L⁻¹H) x + L⁻¹v with Cov = D, so that
// components can be processed one at a time; det L = 1 leaves the likelihood alone, and R⁻¹ is never formed.
// Reference: Golub & Van Loan, Matrix Computations, 4th ed., 4.1 and 4.2.8 (semi-definite).
#pragma once

#include <cmath>

#include "kelman/linalg/vector.hpp"

namespace kelman::linalg {

/// Factorises the lower triangle of R; `inverse` (m×m) is scratch. A pivot d_j = c R c' (c: row j of L⁻¹) counts as
/// zero when it is rounding of the terms |c| |R| |c|' it is made of. False if R is indefinite beyond rounding (a pivot
/// below -sqrt(eps) R_jj).
template <Real Scalar>
[[nodiscard]] bool ldl(Index m, const Scalar* R, Index ldr, Scalar* L, Index ldl, Scalar* D, Scalar* inverse) {
  const Scalar tiny = static_cast<Scalar>(2 * m) * Precision<Scalar>::epsilon;
  const Scalar indefinite = -std::sqrt(Precision<Scalar>::epsilon);
  for (Index j = 0; j < m; ++j) {
    // d_j = R_jj - sum_k L_jk² d_k,   c_j = e_j - sum_k L_jk c_k
    Scalar pivot = R[j * ldr + j];
    Scalar* const c = inverse + j * m;
    std::fill_n(c, m, Scalar(0));
    c[j] = Scalar(1);
    for (Index k = 0; k < j; ++k) {
      pivot = fused(-L[j * ldl + k] * D[k], L[j * ldl + k], pivot);
      axpy(k + 1, -L[j * ldl + k], inverse + k * m, c);
    }
    Scalar terms(0);
    for (Index k = 0; k <= j; ++k) {
      terms += std::abs(c[k]) * std::sqrt(std::max(R[k * ldr + k], Scalar(0)));
    }
    terms *= terms;
    if (!(pivot >= indefinite * terms)) {
      return false;
    }
    const bool zero = pivot <= tiny * terms;
    D[j] = zero ? Scalar(0) : pivot;
    L[j * ldl + j] = Scalar(1);
    for (Index i = j + 1; i < m; ++i) {
      // L_ij = (R_ij - sum_k L_ik d_k L_jk) / d_j; where d_j = 0 the rest of a semi-definite column is 0 as well
      Scalar value = R[i * ldr + j];
      for (Index k = 0; k < j; ++k) {
        value = fused(-L[i * ldl + k] * D[k], L[j * ldl + k], value);
      }
      L[i * ldl + j] = zero ? Scalar(0) : value / pivot;
      L[j * ldl + i] = Scalar(0);
    }
  }
  return true;
}

/// X = L⁻¹ X by forward substitution, row by row; returns nothing, changes X in place.      (m×c)
template <Real Scalar>
void solve_unit_lower(Index m, Index cols, const Scalar* L, Index ldl, Scalar* X, Index ldx) {
  for (Index i = 1; i < m; ++i) {
    for (Index k = 0; k < i; ++k) {
      const Scalar factor = L[i * ldl + k];
      if (factor != Scalar(0)) {
        axpy(cols, -factor, X + k * ldx, X + i * ldx);
      }
    }
  }
}

}  // namespace kelman::linalg
