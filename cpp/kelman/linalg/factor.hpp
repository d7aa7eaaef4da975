// SPDX-License-Identifier: BSD-3-Clause
// The diffuse part of a covariance as a factor: P_inf = V V', V (n×d), whose number of columns is the diffuse rank.
//
// An orthogonal transformation of the columns, V Θ, changes nothing of V V'. Both functions use that freedom, and the
// rank falls by whole columns, never by a threshold on a covariance.
// Reference: Golub & Van Loan, Matrix Computations, 4th ed., 5.1 and 5.4.2.
#pragma once

#include <cmath>

#include "kelman/linalg/vector.hpp"

namespace kelman::linalg {

/// V <- V Θ for the Householder reflection Θ = I - 2 u u' / u'u on columns [first, d).      (n×d)
template <Real Scalar>
void reflect_columns(Index n, Index first, Index d, const Scalar* u, Scalar* V, Index ldv) {
  const Scalar norm = dot(d - first, u, u);
  if (!(norm > Scalar(0))) {
    return;
  }
  const Scalar twice = Scalar(2) / norm;
  for (Index i = 0; i < n; ++i) {
    Scalar* const row = V + i * ldv + first;
    axpy(d - first, -twice * dot(d - first, row, u), u, row);
  }
}

/// Rows of V that are only rounding of the terms they were made of, of size `scale[i]` (n), are zero: such a state is
/// diffuse no more, and what is left of its row would look like a direction of its own.
template <Real Scalar>
void clear_small_rows(Index n, Index d, const Scalar* scale, Scalar* V, Index ldv) {
  for (Index i = 0; i < n; ++i) {
    Scalar* const row = V + i * ldv;
    if (std::sqrt(dot(d, row, row)) <= Precision<Scalar>::diffuse * scale[i]) {
      std::fill_n(row, d, Scalar(0));
    }
  }
}

/// Removes from V the direction that a measurement determined: V becomes V Θ₂, where [a/|a|, Θ₂] is orthogonal.
/// `a` = V'h (d) is destroyed, `scale` (n) is scratch. V has d-1 columns afterwards.        (n×d) -> (n×(d-1))
template <Real Scalar>
void remove_direction(Index n, Index d, Scalar* a, Scalar* V, Index ldv, Scalar* scale) {
  for (Index i = 0; i < n; ++i) {
    scale[i] = std::sqrt(dot(d, V + i * ldv, V + i * ldv));
  }
  // u = a ± |a| e₁: the reflection takes a to ∓|a| e₁, so that the first column of V Θ is ∓V a/|a|
  a[0] += std::copysign(std::sqrt(dot(d, a, a)), a[0]);
  reflect_columns(n, Index(0), d, a, V, ldv);
  for (Index i = 0; i < n; ++i) {
    Scalar* const row = V + i * ldv;
    for (Index j = 0; j + 1 < d; ++j) {
      row[j] = row[j + 1];
    }
  }
  clear_small_rows(n, d - 1, scale, V, ldv);
}

/// The way back for a row that goes with V: q becomes q Θ₂', and gets `more` times a', of the same a = V'h. The row may
/// be one of packs.                                                                      (1×(d-1)) -> (1×d)
template <class T, Real Scalar>
[[gnu::cold, gnu::noinline]] void restore_direction(Index d, const Scalar* a, const T& more, T* q) {
  const Scalar length = std::sqrt(dot(d, a, a));
  const Scalar first = a[0] + std::copysign(length, a[0]);  // of u, whose others are a: u'u / 2 = |a| |u₁|
  const Scalar twice = Scalar(1) / (length * std::abs(first));
  T along(Scalar(0));
  for (Index c = d; c-- > 1;) {
    q[c] = q[c - 1];
    along = fused(a[c], q[c], along);
  }
  q[0] = fused(a[0], more, fused(-twice * first, along, T(Scalar(0))));
  for (Index c = 1; c < d; ++c) {
    q[c] = fused(a[c], more, fused(-twice * a[c], along, q[c]));
  }
}

/// Drops columns that carry nothing, after a singular transition: V becomes V Θ, Θ (d×rank). `scale[i]` (n) is the size
/// of the terms of which row i of V was made, so that what is left of row i below rounding of `scale[i]` counts as
/// zero; `u` (d) is scratch, and `trial` ((n+d)×d) holds Θ behind n rows if columns were dropped. Returns the new
/// number of columns; V is untouched if it is the old one.
template <Real Scalar>
[[nodiscard]] Index compress(Index n, Index d, const Scalar* scale, Scalar* V, Index ldv, Scalar* trial, Scalar* u) {
  const Scalar tiny = static_cast<Scalar>(100 * (n + 1)) * Precision<Scalar>::epsilon;
  copy_block(n, d, V, ldv, trial, ldv);
  for (Index c = 0; c < d; ++c) {
    std::fill_n(trial + (n + c) * ldv, d, Scalar(0));
    trial[(n + c) * ldv + c] = Scalar(1);
  }
  Index rank = 0;
  for (; rank < d; ++rank) {
    // pivot: the row with the largest rest, relative to its scale
    Index pivot = -1;
    Scalar largest = tiny;
    for (Index i = 0; i < n; ++i) {
      const Scalar* const row = trial + i * ldv + rank;
      const Scalar rest = std::sqrt(dot(d - rank, row, row));
      if (rest > largest * scale[i]) {
        largest = rest / scale[i];
        pivot = i;
      }
    }
    if (pivot < 0) {
      break;
    }
    // reflect the rest of the pivot row onto its first entry
    std::copy_n(trial + pivot * ldv + rank, d - rank, u);
    u[0] += std::copysign(std::sqrt(dot(d - rank, u, u)), u[0]);
    reflect_columns(n + d, rank, d, u, trial, ldv);
  }
  if (rank < d) {
    copy_block(n, rank, trial, ldv, V, ldv);
  }
  return rank;
}

}  // namespace kelman::linalg
