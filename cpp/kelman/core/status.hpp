// SPDX-License-Identifier: BSD-3-Clause
// Numeric trouble is data: each series gets a status and the time step at which it arose. Kernels never throw.
#pragma once

#include <cstdint>

#include "kelman/core/scalar.hpp"

namespace kelman {

/// How the computation of one series ended.
enum class Status : std::int32_t {
  ok = 0,
  not_positive_definite = 1,   ///< an innovation variance was negative, or zero where noise should make it positive
  impossible_observation = 2,  ///< a component that the model predicts exactly has another value: log-likelihood -inf
  non_finite = 3,              ///< a mean or a covariance overflowed or became NaN
};

/// Status of one series with the first time step concerned (-1: none).
struct Outcome {
  Status status = Status::ok;
  Index at = -1;

  /// Keeps the first trouble only.
  constexpr void report(Status what, Index when) noexcept {
    if (status == Status::ok) {
      status = what;
      at = when;
    }
  }

  /// Whether the moments of the series are still usable.
  [[nodiscard]] constexpr bool usable() const noexcept {
    return status == Status::ok || status == Status::impossible_observation;
  }
};

}  // namespace kelman
