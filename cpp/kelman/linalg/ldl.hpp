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

#include "kelman/linalg/tile.hpp"
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

/// F = L D L' of a positive definite F, of which the upper triangle is read, on whole registers. The strictly upper
/// triangle becomes L', the diagonal D; what is below it is lost. False if a pivot is not positive.        (m×m)
template <Real Scalar>
[[nodiscard]] bool factorise_regular(Index m, Scalar* F, Index ldf) noexcept {
  constexpr Index L = register_lanes<Scalar>;
  for (Index e = 0; e < m; ++e) {
    Scalar* const row = F + e * ldf;
    if (!(row[e] > Scalar(0))) {
      return false;
    }
    const Scalar inverse = Scalar(1) / row[e];
    for (Index i = e + 1; i < m; ++i) {
      const Index from = i / L * L;
      axpy_registers(ldf - from, -row[i] * inverse, row + from, F + i * ldf + from);
    }
    for (Index i = e + 1; i < m; ++i) {
      row[i] *= inverse;
    }
  }
  return true;
}

/// X = L⁻¹ X, given L' of `factorise_regular`, on whole registers.                         (m×c)
template <Real Scalar>
void solve_factor(Index m, Index cols, const Scalar* transposed, Index ldl, Scalar* X, Index ldx) noexcept {
  constexpr Index block = 4;
  for (Index i = 0; i < m; i += block) {
    const Index end = std::min(m, i + block);
    if (i > 0) {
      multiply_tiled<Scalar>(false, end - i, i, cols, {transposed + i, 1, ldl}, X, ldx,
                             {Into::subtract, X + i * ldx, ldx});
    }
    for (Index e = i + 1; e < end; ++e) {
      for (Index l = i; l < e; ++l) {
        axpy_registers(cols, -transposed[l * ldl + e], X + l * ldx, X + e * ldx);
      }
    }
  }
}

}  // namespace kelman::linalg
