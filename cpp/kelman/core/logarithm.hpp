// SPDX-License-Identifier: BSD-3-Clause
// The natural logarithm of packs.
//
//   m in [sqrt(1/2), sqrt(2)):   s = (m - 1) / (m + 1),   log m = 2 (s + s³/3 + s⁵/5 + ...),   |s| < 0.172
//
// Twelve terms leave 1e-19 of the sum. For double the error is below 2 units in the last place of the larger of |log m|
// and 2^-2; close to m = 1 it is relative, for m - 1 is exact.
#pragma once

#include "kelman/core/pack.hpp"

namespace kelman {

/// log of mantissas in [1, 2), as `split_exponent` leaves them.
template <Lanes V>
[[nodiscard]] inline V log_mantissa(const V& mantissa) noexcept {
  using T = scalar_of<V>;
  constexpr int terms = sizeof(T) == 8 ? 12 : 6;
  const V half = mantissa * V(T(0.5));
  const auto large = mantissa > V(T(1.41421356237309505));
  const V m = select(large, half, mantissa);
  const V s = (m - V(T(1))) / (m + V(T(1)));
  const V square = s * s;
  V sum = V(T(2) / T(2 * terms - 1));
  for (int j = terms - 2; j >= 0; --j) {
    sum = fused(sum, square, V(T(2) / static_cast<T>(2 * j + 1)));
  }
  return fused(s, sum, select(large, V(T(0.693147180559945309417)), V(T(0))));
}

}  // namespace kelman
