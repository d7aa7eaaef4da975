// SPDX-License-Identifier: BSD-3-Clause
// Which entries of a model's matrices are never used: a seasonal model's A has two numbers in a row, a selector one.
#pragma once

#include <vector>

#include "kelman/core/workspace.hpp"
#include "kelman/linear/lanes/kernel.hpp"

namespace kelman::linear::lanes {

/// Above this share of entries that are not zero, products of whole matrices are faster.
inline constexpr double sparse_below = 1.0 / 3.0;

/// The entries of a field of rows×cols matrices that are not zero in some series at some time; none if they are many.
template <Real T>
[[nodiscard]] Pattern pattern_of(const Field<const T>& field, Index N, Index steps, Index rows, Index cols,
                                 Workspace& memory) {
  std::vector<bool> used(static_cast<std::size_t>(rows * cols), false);
  Index count = 0;
  const auto few = [&] { return static_cast<double>(count) < sparse_below * static_cast<double>(rows * cols); };
  for (Index i = 0; i < (field.shared() ? 1 : N) && few(); ++i) {
    for (Index k = 0; k < (field.constant() ? 1 : steps) && few(); ++k) {
      const T* const values = field.at(i, k);
      for (Index e = 0; e < rows * cols; ++e) {
        if (values[e] != T(0) && !used[static_cast<std::size_t>(e)]) {
          used[static_cast<std::size_t>(e)] = true;
          ++count;
        }
      }
    }
  }
  if (!few()) {
    return {};
  }
  auto* const start = memory.take<Index>(rows + 1);
  auto* const column = memory.take<Index>(count);
  Index next = 0;
  for (Index row = 0; row < rows; ++row) {
    for (Index col = 0; col < cols; ++col) {
      if (used[static_cast<std::size_t>(row * cols + col)]) {
        column[next++] = col;
      }
    }
    start[row + 1] = next;
  }
  return {start, column};
}

}  // namespace kelman::linear::lanes
