// SPDX-License-Identifier: BSD-3-Clause
// What ran: the words of `r.method`.
#pragma once

#include <string>

namespace kelman::linear {

/// The ways to compute a series.
enum class Way : unsigned {
  univariate = 1U << 0,  ///< one series at a time, every kind of model and start
  shared = 1U << 1,      ///< covariances once for all series
  lanes = 1U << 2,       ///< series side by side in vector registers
  scalar = 1U << 3,      ///< one series at a time, for regular models
  steady = 1U << 4,      ///< scalar, and the covariances were constant from some step on
  grouped = 1U << 5,     ///< covariances once for each group of series with the same gaps
};

/// The ways that were taken. Each worker has its own, and they are joined at the end.
class Method {
 public:
  constexpr Method() = default;
  constexpr Method(Way way) : bits_(static_cast<unsigned>(way)) {}  // NOLINT(google-explicit-constructor): a set of one

  constexpr Method& operator|=(Method other) noexcept {
    bits_ |= other.bits_;
    return *this;
  }

  [[nodiscard]] constexpr bool contains(Way way) const noexcept { return (bits_ & static_cast<unsigned>(way)) != 0; }

  /// Whether no way was taken.
  [[nodiscard]] constexpr bool none() const noexcept { return bits_ == 0; }

  /// The words, joined by "+": "univariate+lanes".
  [[nodiscard]] std::string text() const {
    constexpr const char* words[] = {"univariate", "shared", "lanes", "scalar", "steady", "grouped"};
    std::string joined;
    for (unsigned bit = 0; bit < 6; ++bit) {
      if ((bits_ >> bit & 1U) != 0) {
        joined += (joined.empty() ? "" : "+") + std::string(words[bit]);
      }
    }
    return joined;
  }

 private:
  unsigned bits_ = 0;
};

}  // namespace kelman::linear
