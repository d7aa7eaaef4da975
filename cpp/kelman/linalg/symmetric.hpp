// SPDX-License-Identifier: BSD-3-Clause
// Symmetric matrices: one triangle is computed, the other is its mirror image, always.
//
// A covariance whose two triangles drift apart leads a filter to NaN within a few hundred steps; here they cannot,
// because the upper triangle is only ever written by `mirror`.
#pragma once

#include "kelman/linalg/vector.hpp"

namespace kelman::linalg {

/// Copies the strictly lower triangle of P onto the upper one.                              (n×n)
template <class Scalar>
inline void mirror(Index n, Scalar* P, Index ldp) {
  for (Index i = 1; i < n; ++i) {
    for (Index j = 0; j < i; ++j) {
      P[j * ldp + i] = P[i * ldp + j];
    }
  }
}

/// y = P x for the first `cols` columns of a symmetric P with `rows` rows.                  (r) = (r×c)(c)
/// Reads rows of P (they equal its columns), so that the inner loop runs along memory.
template <class Scalar>
inline void symmetric_matvec(Index rows, Index cols, const Scalar* P, Index ldp, const Scalar* x, Scalar* y) {
  matvec_transposed(cols, rows, P, ldp, x, y);
}

/// P -= x y' on the lower triangle, where x y' is symmetric (x = y / f); then mirrors.      (n×n) -= (n)(1×n)
template <class Scalar>
inline void downdate(Index n, const Scalar* x, const Scalar* y, Scalar* P, Index ldp) {
  for (Index i = 0; i < n; ++i) {
    Scalar* const row = P + i * ldp;
    for (Index j = 0; j <= i; ++j) {
      row[j] -= x[i] * y[j];
    }
  }
  mirror(n, P, ldp);
}

/// P += alpha x x' - x y' - y x' on the lower triangle; then mirrors.                       (n×n) += (n)(1×n)
template <class Scalar>
inline void update_two(Index n, Scalar alpha, const Scalar* x, const Scalar* y, Scalar* P, Index ldp) {
  for (Index i = 0; i < n; ++i) {
    Scalar* const row = P + i * ldp;
    for (Index j = 0; j <= i; ++j) {
      row[j] += alpha * x[i] * x[j] - (x[i] * y[j] + y[i] * x[j]);
    }
  }
  mirror(n, P, ldp);
}

}  // namespace kelman::linalg
