// SPDX-License-Identifier: BSD-3-Clause
// Where kernels are compiled: for cpp/instantiate only.
#pragma once

#include <utility>

#include "kelman/linear/lanes/tiled.hpp"

namespace kelman::linear::lanes {

template <Lanes V, class C, int... I>
[[nodiscard]] Kernel<V, C> kernel_among(Index n, std::integer_sequence<int, I...>) noexcept {
  constexpr Kernel<V, C> table[] = {&take_steps<I + 1, V, C>...};
  return table[n - 1];
}

template <Lanes V, class C>
Kernel<V, C> kernel_of(Index n) noexcept {
  if constexpr (kelman::lanes<V> == register_lanes<scalar_of<V>>) {
    if (n > largest_n) {
      return &take_tiled<V, C>;
    }
  }
  return kernel_among<V, C>(n, std::make_integer_sequence<int, largest_n_of<V>>{});
}

}  // namespace kelman::linear::lanes
