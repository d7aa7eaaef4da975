// SPDX-License-Identifier: BSD-3-Clause
// Where components are missing: whether two series miss the same, at the speed of memory.
#pragma once

#include "kelman/core/field.hpp"
#include "kelman/core/pack.hpp"

namespace kelman::linear {

/// Whether a and b (count) are NaN at the same places.
template <Real Scalar>
[[nodiscard]] inline bool same_gaps(const Scalar* a, const Scalar* b, Index count) noexcept {
  using V = Pack<Scalar, register_lanes<Scalar>>;
  constexpr Index L = kelman::lanes<V>;
  constexpr Index block = 16 * L;  // between two branches
  Index j = 0;
  for (; j + block <= count; j += block) {
    auto differ = V(Scalar(0)) != V(Scalar(0));
    for (Index l = j; l < j + block; l += L) {
      const auto in_a = is_nan(load<V>(a + l));
      const auto in_b = is_nan(load<V>(b + l));
      differ = differ | (in_a & !in_b) | (in_b & !in_a);
    }
    if (any(differ)) {
      return false;
    }
  }
  bool same = true;
  for (; j < count; ++j) {
    same = same && (a[j] != a[j]) == (b[j] != b[j]);
  }
  return same;
}

/// Whether series i and j of z (steps of m values) miss the same components in their first `length` steps.
template <Real Scalar>
[[nodiscard]] inline bool same_gaps(const Field<const Scalar>& z, Index i, Index j, Index length, Index m) noexcept {
  if (z.time == m) {
    return same_gaps(z.at(i), z.at(j), length * m);
  }
  for (Index k = 0; k < length; ++k) {
    if (!same_gaps(z.at(i, k), z.at(j, k), m)) {
      return false;
    }
  }
  return true;
}

}  // namespace kelman::linear
