// SPDX-License-Identifier: BSD-3-Clause
// Results of a group on their way back through time: packs of a few steps, turned into rows and written at once.
#pragma once

#include <cstdint>

#include "kelman/core/transpose.hpp"
#include "kelman/core/workspace.hpp"
#include "kelman/linear/lanes/passage.hpp"

namespace kelman::linear::lanes {

/// One field of results. Steps come from the last to the first.
template <Lanes V>
class Rows {
 public:
  using Scalar = scalar_of<V>;
  static constexpr int W = kelman::lanes<V>;

  /// `size`: numbers of one step.
  Rows(const Field<Scalar>& field, const Dims& dims, Index size, Workspace& memory)
      : field_(field), size_(size), past_caches_(size * dims.T * dims.N * static_cast<Index>(sizeof(Scalar)) > large) {
    if (field) {
      buffer_ = memory.take<V>(size * chunk);
      aside_ = memory.take<Scalar>(size * chunk * W);
    }
  }

  [[nodiscard]] explicit operator bool() const noexcept { return buffer_ != nullptr; }

  /// Where the numbers of step k go.
  [[nodiscard]] V* at(Index k) noexcept { return buffer_ + k % chunk * size_; }

  /// After step k is filled, which is the first of all if `last`; `end`: steps of the longest series.
  void filled(const Members<V>& members, Index k, Index end) noexcept {
    if (buffer_ != nullptr && k % chunk == 0) {
      write(members, k, std::min(k + chunk, end) - k);
    }
  }

 private:
  static constexpr Index chunk = 8;                // steps; of these many numbers no part of a register is left
  static constexpr Index large = Index(32) << 20;  // bytes that no cache holds

  void write(const Members<V>& members, Index k, Index steps) noexcept {
    Scalar* rows[W];
    bool aligned = past_caches_;
    bool whole = true;
    for (int l = 0; l < W; ++l) {
      const bool all = l < members.count && members.length[l] >= k + steps;
      whole = whole && all;
      rows[l] = all ? field_.at(members.series[l], k) : aside_ + l * size_ * chunk;
      aligned = aligned && reinterpret_cast<std::uintptr_t>(rows[l]) % register_bytes == 0;
    }
    if (aligned) {
      scatter<true>(buffer_, steps * size_, rows, Index(0));
    } else {
      scatter(buffer_, steps * size_, rows, Index(0));
    }
    for (int l = 0; !whole && l < members.count; ++l) {
      if (members.length[l] > k && members.length[l] < k + steps) {
        std::copy_n(rows[l], (members.length[l] - k) * size_, field_.at(members.series[l], k));
      }
    }
  }

  Field<Scalar> field_;
  Index size_;
  bool past_caches_;
  V* buffer_ = nullptr;
  Scalar* aside_ = nullptr;  // for lanes that end within the chunk, or are copies
};

}  // namespace kelman::linear::lanes
