// SPDX-License-Identifier: BSD-3-Clause
// Vectors and matrix-vector products on plain row-major memory.
//
// Sums are taken in one fixed order that does not depend on where the data lie, so that equal numbers give equal bits
// wherever a series is in its batch. (Eigen's reductions peel off unaligned heads and do not promise that.) For the
// same reason every product that is added to something is `fused`.
#pragma once

#include <algorithm>

#include "kelman/core/pack.hpp"

namespace kelman::linalg {

/// x'y                                                                                      (1) = (1×n)(n×1)
template <class Scalar>
[[nodiscard]] inline Scalar dot(Index n, const Scalar* x, const Scalar* y) {
  Index j = 0;
  Scalar total(0);
  if (n >= 8) {
    Scalar part[4] = {Scalar(0), Scalar(0), Scalar(0), Scalar(0)};
    for (; j + 4 <= n; j += 4) {
      for (Index lane = 0; lane < 4; ++lane) {
        part[lane] = fused(x[j + lane], y[j + lane], part[lane]);
      }
    }
    total = (part[0] + part[1]) + (part[2] + part[3]);
  }
  for (; j < n; ++j) {
    total = fused(x[j], y[j], total);
  }
  return total;
}

/// y += alpha x                                                                             (n) += (1)(n)
template <class Scalar>
inline void axpy(Index n, Scalar alpha, const Scalar* x, Scalar* y) {
  using V = Pack<Scalar, register_lanes<Scalar>>;
  Index j = 0;
  for (const V factor(alpha); j + register_lanes<Scalar> <= n; j += register_lanes<Scalar>) {
    store(y + j, fused(factor, load<V>(x + j), load<V>(y + j)));
  }
  for (; j < n; ++j) {
    y[j] = fused(alpha, x[j], y[j]);
  }
}

/// y = A x                                                                                  (r) = (r×c)(c)
template <class Scalar>
[[gnu::noinline]] void matvec(Index rows, Index cols, const Scalar* A, Index lda, const Scalar* x, Scalar* y) {
  for (Index i = 0; i < rows; ++i) {
    y[i] = dot(cols, A + i * lda, x);
  }
}

/// y = A' x                                                                                 (c) = (c×r)(r)
template <class Scalar>
[[gnu::noinline]] void matvec_transposed(Index rows, Index cols, const Scalar* A, Index lda, const Scalar* x,
                                         Scalar* y) {
  std::fill_n(y, cols, Scalar(0));
  for (Index i = 0; i < rows; ++i) {
    axpy(cols, x[i], A + i * lda, y);
  }
}

/// Copies a rows×cols block between two row-major arrays of different row lengths.
template <class Scalar>
inline void copy_block(Index rows, Index cols, const Scalar* from, Index ldf, Scalar* to, Index ldt) {
  for (Index i = 0; i < rows; ++i) {
    std::copy_n(from + i * ldf, cols, to + i * ldt);
  }
}

}  // namespace kelman::linalg
