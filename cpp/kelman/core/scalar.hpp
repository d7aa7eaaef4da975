// SPDX-License-Identifier: BSD-3-Clause
// The number types a kernel may be instantiated with, and what their precision implies.
//
// Every kernel takes its number type as a template parameter called Scalar. Tolerances are functions of the
// machine epsilon of that type, and each of them is written here, once.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>

namespace kelman {

/// Signed size and index type of every array in the core.
using Index = std::ptrdiff_t;

/// A number type on which the scalar kernels work.
template <class T>
concept Real = std::floating_point<T>;

/// a b + c, rounded once where the processor can and twice where it cannot: the same in every loop of one build.
///
/// Left to itself, a compiler fuses a product and a sum in some copies of a loop (scalar, vector, remainder) and not in
/// others, and takes one or the other by where arrays lie in memory. Sums of products therefore go through here.
template <class Scalar>
[[nodiscard]] inline Scalar fused(Scalar a, Scalar b, Scalar c) noexcept {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return std::fma(a, b, c);
#else
  return a * b + c;
#endif
}

/// log(2 pi), the constant of a Gaussian log-density.
template <Real Scalar>
inline constexpr Scalar log_two_pi = static_cast<Scalar>(1.8378770664093454835606594728112353L);

/// Tolerances that follow from the precision of Scalar.
template <Real Scalar>
struct Precision {
  /// Distance from 1 to the next number.
  static constexpr Scalar epsilon = std::numeric_limits<Scalar>::epsilon();

  /// Two values that should be equal agree when they differ by less than this, relative to what they are made of.
  static constexpr Scalar agreement = sizeof(Scalar) >= 8 ? Scalar(1e-9) : Scalar(1e-4);

  /// Below this ratio of |V'h| to |V|'|h| a measurement does not see the diffuse directions V.
  static constexpr Scalar diffuse = sizeof(Scalar) >= 8 ? Scalar(1e-9) : Scalar(1e-4);
};

}  // namespace kelman
