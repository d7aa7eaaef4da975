// SPDX-License-Identifier: BSD-3-Clause
// Correlated components of a measurement, made ready to be taken one at a time, lane by lane.
//
//   R_oo = L D L'      y <- L⁻¹ y_o      H~ = L⁻¹ H_o      D: variances of the components of L⁻¹ v
//
// o: the components that are observed in the lane. A missing one has a row and column of R that are zero but for the
// diagonal, so that L leaves it alone and nothing of it reaches the others; no lane takes another way. Where all
// components are observed the result is that of whitening once for all steps, to the bit.
#pragma once

#include "kelman/core/pack.hpp"

namespace kelman::linear::lanes {

/// L (m×m, below the diagonal), H~ (m×n) and D (m) for the components of y (m) that are not NaN. False in no case: the
/// caller knows that R is positive definite.
template <Lanes V, class C>
void factor_noise(Index m, Index n, const C* H, const C* R, const V* y, V* L, V* rows, V* noise) noexcept {
  using T = scalar_of<V>;
  for (Index e = 0; e < m; ++e) {
    V* const l = L + e * m;
    V pivot = V(R[e * m + e]);
    for (Index j = 0; j < e; ++j) {
      V value = select((y[e] == y[e]) & (y[j] == y[j]), V(R[e * m + j]), V(T(0)));
      for (Index k = 0; k < j; ++k) {
        value = fused(-(l[k] * noise[k]), L[j * m + k], value);
      }
      l[j] = value / noise[j];
      pivot = fused(-(l[j] * noise[j]), l[j], pivot);
    }
    noise[e] = pivot;
    for (Index i = 0; i < n; ++i) {
      V value = V(H[e * n + i]);
      for (Index j = 0; j < e; ++j) {
        value = fused(-l[j], rows[j * n + i], value);
      }
      rows[e * n + i] = value;
    }
  }
}

/// y <- L⁻¹ y over the observed components; missing ones stay NaN.                                           (m)
template <Lanes V, class C>
void whiten(Index m, const C* L, V* y) noexcept {
  using T = scalar_of<V>;
  for (Index e = 1; e < m; ++e) {
    for (Index j = 0; j < e; ++j) {
      y[e] = fused(-L[e * m + j], select(y[j] == y[j], y[j], V(T(0))), y[e]);
    }
  }
}

}  // namespace kelman::linear::lanes
