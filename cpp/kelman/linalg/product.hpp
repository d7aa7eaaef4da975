// SPDX-License-Identifier: BSD-3-Clause
// Matrix products on plain row-major memory: own loops for small sizes, Eigen's blocked product for large ones.
#pragma once

#include <Eigen/Core>
#include <type_traits>

#include "kelman/linalg/symmetric.hpp"

namespace kelman::linalg {

/// From this size on, Eigen's packed product is faster than the loops below (measured on AVX2 and AVX-512).
inline constexpr Index eigen_from = 32;

/// Eigen packs blocks of the operands on the stack and would call malloc for larger ones; tiles of this size fit.
inline constexpr Index eigen_tile = 64;

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

/// C (+)= A B by Eigen, tile by tile, without any allocation.                               (r×c) = (r×k)(k×c)
template <bool accumulate, class Scalar>
inline void multiply_large(Index rows, Index inner, Index cols, const Scalar* A, Index lda, const Scalar* B, Index ldb,
                           Scalar* C, Index ldc) {
  using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Stride = Eigen::OuterStride<>;
  using Input = Eigen::Map<const Matrix, Eigen::Unaligned, Stride>;
  using Output = Eigen::Map<Matrix, Eigen::Unaligned, Stride>;
  for (Index i = 0; i < rows; i += eigen_tile) {
    const Index r = std::min(eigen_tile, rows - i);
    for (Index j = 0; j < cols; j += eigen_tile) {
      const Index w = std::min(eigen_tile, cols - j);
      Output tile(C + i * ldc + j, r, w, Stride(ldc));
      if constexpr (!accumulate) {
        tile.setZero();
      }
      for (Index k = 0; k < inner; k += eigen_tile) {
        const Index d = std::min(eigen_tile, inner - k);
        tile.noalias() += Input(A + i * lda + k, r, d, Stride(lda)) * Input(B + k * ldb + j, d, w, Stride(ldb));
      }
    }
  }
}

/// C (+)= A B                                                                               (r×c) = (r×k)(k×c)
template <bool accumulate = false, class Scalar>
inline void multiply(Index rows, Index inner, Index cols, const Scalar* A, Index lda, const Scalar* B, Index ldb,
                     Scalar* C, Index ldc) {
  if constexpr (std::is_floating_point_v<Scalar>) {
    if (rows >= eigen_from && inner >= eigen_from && cols >= eigen_from) {
      multiply_large<accumulate>(rows, inner, cols, A, lda, B, ldb, C, ldc);
      return;
    }
  }
  multiply_small<accumulate>(rows, inner, cols, A, lda, B, ldb, C, ldc);
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

/// Lower triangle of C += A B, whose result is known to be symmetric.                       (n×n) += (n×k)(k×n)
/// The upper triangle is left undefined: `mirror` follows.
template <class Scalar>
inline void multiply_symmetric(Index n, Index inner, const Scalar* A, Index lda, const Scalar* B, Index ldb, Scalar* C,
                               Index ldc) {
  if constexpr (std::is_floating_point_v<Scalar>) {
    if (n >= eigen_from && inner >= eigen_from) {
      for (Index i = 0; i < n; i += eigen_tile) {  // blocks of rows, up to and including the block on the diagonal
        const Index r = std::min(eigen_tile, n - i);
        multiply_large<true>(r, inner, i + r, A + i * lda, lda, B, ldb, C + i * ldc, ldc);
      }
      return;
    }
  }
  for (Index i = 0; i < n; ++i) {
    multiply_small<true>(1, inner, i + 1, A + i * lda, lda, B, ldb, C + i * ldc, ldc);
  }
}

}  // namespace kelman::linalg
