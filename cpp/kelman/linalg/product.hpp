// SPDX-License-Identifier: BSD-3-Clause
// Matrix products on plain row-major memory: own loops for small sizes, tiles of registers for all others.
#pragma once

#include "kelman/linalg/symmetric.hpp"
#include "kelman/linalg/tile.hpp"

namespace kelman::linalg {

/// Whether tiles pay: at least one register of columns, and more than a row of it to do.
template <Real Scalar>
[[nodiscard]] constexpr bool tiles_pay(Index rows, Index inner, Index cols) noexcept {
  return cols >= register_lanes<Scalar> && rows >= 2 && inner >= 4;
}

/// C (+)= A B                                                                               (r×c) = (r×k)(k×c)
template <bool accumulate, class Scalar>
inline void multiply_small(Index rows, Index inner, Index cols, const Scalar* A, Index lda, const Scalar* B, Index ldb,
                           Scalar* C, Index ldc) {
  for (Index i = 0; i < rows; ++i) {
    Scalar* const c = C + i * ldc;
    const Scalar* const a = A + i * lda;
    if constexpr (!accumulate) {
      std::fill_n(c, cols, Scalar(0));
    }
    Index k = 0;
    for (; k + 4 <= inner; k += 4) {
      const Scalar* const b0 = B + k * ldb;
      const Scalar* const b1 = b0 + ldb;
      const Scalar* const b2 = b1 + ldb;
      const Scalar* const b3 = b2 + ldb;
      for (Index j = 0; j < cols; ++j) {
        Scalar total = c[j];
        total = fused(a[k], b0[j], total);
        total = fused(a[k + 1], b1[j], total);
        total = fused(a[k + 2], b2[j], total);
        c[j] = fused(a[k + 3], b3[j], total);
      }
    }
    for (; k < inner; ++k) {
      axpy(cols, a[k], B + k * ldb, c);
    }
  }
}

/// C (+)= A B                                                                               (r×c) = (r×k)(k×c)
template <bool accumulate = false, Real Scalar>
inline void multiply(Index rows, Index inner, Index cols, const Scalar* A, Index lda, const Scalar* B, Index ldb,
                     Scalar* C, Index ldc) {
  if (tiles_pay<Scalar>(rows, inner, cols)) {
    multiply_tiled<Scalar>(false, rows, inner, cols, {A, lda, 1}, B, ldb, {accumulate ? Into::add : Into::set, C, ldc});
  } else {
    multiply_small<accumulate>(rows, inner, cols, A, lda, B, ldb, C, ldc);
  }
}

/// B = A'                                                                                   (c×r) = (r×c)'
template <class Scalar>
inline void transpose(Index rows, Index cols, const Scalar* A, Index lda, Scalar* B, Index ldb) {
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < cols; ++j) {
      B[j * ldb + i] = A[i * lda + j];
    }
  }
}

/// Lower triangle of C = base +- A B, whose result is known to be symmetric.                (n×n) = (n×n) +- (n×k)(k×n)
/// The upper triangle is left undefined: `mirror` follows.
template <Real Scalar>
inline void multiply_symmetric(Index n, Index inner, const Operand<Scalar>& A, const Scalar* B, Index ldb,
                               const Target<Scalar>& to) {
  if (tiles_pay<Scalar>(n, inner, n)) {
    multiply_tiled(true, n, inner, n, A, B, ldb, to);
    return;
  }
  const Scalar sign = to.into == Into::subtract ? Scalar(-1) : Scalar(1);
  for (Index i = 0; i < n; ++i) {
    Scalar* const c = to.C + i * to.ld;
    if (to.into == Into::set) {
      std::fill_n(c, i + 1, Scalar(0));
    } else if (to.base != to.C) {
      std::copy_n(to.base + i * to.base_ld, i + 1, c);
    }
    for (Index k = 0; k < inner; ++k) {
      axpy(i + 1, sign * A.data[i * A.row + k * A.column], B + k * ldb, c);
    }
  }
}

}  // namespace kelman::linalg
