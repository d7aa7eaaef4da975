// SPDX-License-Identifier: BSD-3-Clause
// A model matrix as a field over (series, time): one pointer and two strides.
//
//   at(i, k) = data + i * series + k * time        (row-major inner matrix, contiguous)
//
// A stride of zero means "the same for all", so that a constant, a time-varying, a per-series matrix and one that is
// both are the same code and need no copy. Strides count elements, not bytes.
#pragma once

#include "kelman/core/scalar.hpp"

namespace kelman {

/// View of one inner array per (series, time); `T` is const for what is only read.
template <class T>
struct Field {
  T* data = nullptr;
  Index series = 0;  ///< elements from one series to the next; 0 = the same for all series
  Index time = 0;    ///< elements from one time step to the next; 0 = the same at all times

  /// The inner array of series `i` at time `k`.
  [[nodiscard]] constexpr T* at(Index i, Index k) const noexcept { return data + i * series + k * time; }

  /// The inner array of series `i`, for fields without a time axis.
  [[nodiscard]] constexpr T* at(Index i) const noexcept { return data + i * series; }

  /// Whether the field is there at all: optional parts of a model are null fields.
  [[nodiscard]] constexpr explicit operator bool() const noexcept { return data != nullptr; }

  /// Whether all series have the same values.
  [[nodiscard]] constexpr bool shared() const noexcept { return series == 0; }

  /// Whether all time steps have the same values.
  [[nodiscard]] constexpr bool constant() const noexcept { return time == 0; }
};

}  // namespace kelman
