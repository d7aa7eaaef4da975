// SPDX-License-Identifier: BSD-3-Clause
// Symmetric matrices: one triangle is computed, the other is its mirror image, always.
//
// A covariance whose two triangles drift apart leads a filter to NaN within a few hundred steps; here they cannot,
// because every function below reads and writes the lower triangle only, and `mirror` alone writes the upper one.
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

/// y = P x for the first `cols` columns of a symmetric P with `rows` rows, from its lower triangle.  (r) = (r×c)(c)
/// Each row is read once, along memory: it serves as a row and, mirrored, as a column.
template <class Scalar>
[[gnu::noinline]] void symmetric_matvec(Index rows, Index cols, const Scalar* P, Index ldp, const Scalar* x,
                                        Scalar* y) {
  for (Index i = 0; i < cols; ++i) {
    const Scalar* const row = P + i * ldp;
    y[i] = fused(row[i], x[i], dot(i, row, x));
    axpy(i, x[i], row, y);
  }
  for (Index i = cols; i < rows; ++i) {
    y[i] = dot(cols, P + i * ldp, x);
  }
}

/// y += column j of a symmetric P, from its lower triangle.                                 (n) += (n)
template <class Scalar>
inline void add_column(Index n, Index j, const Scalar* P, Index ldp, Scalar* y) {
  axpy(j + 1, Scalar(1), P + j * ldp, y);
  for (Index i = j + 1; i < n; ++i) {
    y[i] += P[i * ldp + j];
  }
}

/// P -= x y' on the lower triangle, where x y' is symmetric (x = y / f).                    (n×n) -= (n)(1×n)
template <class Scalar>
[[gnu::noinline]] void downdate(Index n, const Scalar* x, const Scalar* y, Scalar* P, Index ldp) {
  for (Index i = 0; i < n; ++i) {
    axpy(i + 1, -x[i], y, P + i * ldp);
  }
}

/// P += alpha x x' - x y' - y x' on the lower triangle.                                     (n×n) += (n)(1×n)
template <class Scalar>
[[gnu::noinline]] void update_two(Index n, Scalar alpha, const Scalar* x, const Scalar* y, Scalar* P, Index ldp) {
  using V = Pack<Scalar, register_lanes<Scalar>>;
  for (Index i = 0; i < n; ++i) {
    Scalar* const row = P + i * ldp;
    const Scalar a = fused(alpha, x[i], -y[i]);
    const Scalar b = -x[i];
    Index j = 0;
    for (const V first(a), second(b); j + register_lanes<Scalar> <= i + 1; j += register_lanes<Scalar>) {
      store(row + j, fused(second, load<V>(y + j), fused(first, load<V>(x + j), load<V>(row + j))));
    }
    for (; j <= i; ++j) {
      row[j] = fused(b, y[j], fused(a, x[j], row[j]));
    }
  }
}

}  // namespace kelman::linalg
