// SPDX-License-Identifier: BSD-3-Clause
// Asking for memory before it is read.
#pragma once

#include "kelman/core/scalar.hpp"

namespace kelman {

/// Asks for `count` values that will be read soon. On the way back through time the processor does not guess what is
/// next, and a matrix that comes from memory costs as much as its product.
template <class T>
inline void prefetch(const T* from, Index count) noexcept {
#ifdef __GNUC__
  constexpr Index line = 64 / static_cast<Index>(sizeof(T));
  for (Index l = 0; l < count; l += line) {
    __builtin_prefetch(from + l, 0, 2);
  }
#else
  static_cast<void>(from);
  static_cast<void>(count);
#endif
}

}  // namespace kelman
