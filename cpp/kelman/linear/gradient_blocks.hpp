// SPDX-License-Identifier: BSD-3-Clause
// Sums of gradients over series that do not depend on the number of threads.
//
// Groups of series are shared out by blocks, whose number depends on the problem only. Each block has sums of its own,
// and they are added in their order. Without sums every group is a block, and writes to the result.
#pragma once

#include <algorithm>
#include <vector>

#include "kelman/linalg/vector.hpp"
#include "kelman/linear/gradient_sums.hpp"

namespace kelman::linear {

template <Real Scalar>
class GradientBlocks {
 public:
  /// Sums of the fields of `result` that have no series stride, once for each block, if `summed`.
  GradientBlocks(const GradientResult<Scalar>& result, const Dims& dims, Index columns, Index groups, bool summed,
                 Workspace& memory)
      : result_(result), groups_(groups), length_(summed ? std::max<Index>((groups + most - 1) / most, 1) : 1) {
    const auto inner = summable_sizes(dims, columns);
    const auto given = summable(result_);
    for (std::size_t f = 0; f < inner.size(); ++f) {
      const Field<Scalar>& field = *given[f];
      sizes_[f] = field && field.shared() ? inner[f] * (field.constant() ? 1 : dims.T) : 0;
    }
    for (Index block = 0; summed && block < count(); ++block) {
      parts_.push_back(result);
      for (std::size_t f = 0; f < inner.size(); ++f) {
        if (sizes_[f] > 0) {
          summable(parts_.back())[f]->data = memory.take<Scalar>(sizes_[f]);
        }
      }
    }
  }

  [[nodiscard]] Index count() const noexcept { return (groups_ + length_ - 1) / length_; }

  /// Groups [begin, end) of a block.
  [[nodiscard]] Index begin(Index block) const noexcept { return block * length_; }
  [[nodiscard]] Index end(Index block) const noexcept { return std::min((block + 1) * length_, groups_); }

  /// Where a block writes.
  [[nodiscard]] const GradientResult<Scalar>& part(Index block) const noexcept {
    return parts_.empty() ? result_ : parts_[static_cast<std::size_t>(block)];
  }

  /// Adds the blocks to the result, in their order.
  void add() noexcept {
    for (GradientResult<Scalar>& part : parts_) {
      for (std::size_t f = 0; f < sizes_.size(); ++f) {
        linalg::axpy(sizes_[f], Scalar(1), summable(part)[f]->data, summable(result_)[f]->data);
      }
    }
  }

 private:
  static constexpr Index most = 64;

  GradientResult<Scalar> result_;
  Index groups_;
  Index length_;  // groups of a block
  std::array<Index, 13> sizes_{};
  std::vector<GradientResult<Scalar>> parts_;
};

}  // namespace kelman::linear
