// SPDX-License-Identifier: BSD-3-Clause
// Sums of outer products over a few steps, for series side by side: S += sum_c a_c b_c' (rows×cols).
#pragma once

#include "kelman/linear/shared/recursion.hpp"

namespace kelman::linear::shared {

/// One tile of S for one register of each pack: R×C sums stay in registers over all steps.
template <class V, int R, int C>
void add_tile(Index count, const V* a, Index a_step, const V* b, Index b_step, V* sum, Index cols, int u) noexcept {
  using Scalar = scalar_of<V>;
  typename V::Unit s[R][C];
  unrolled<R>([&](auto i)
                  KELMAN_INLINED { unrolled<C>([&](auto j) KELMAN_INLINED { s[i][j] = sum[i * cols + j].v[u]; }); });
  for (Index c = 0; c < count; ++c) {
    const V* const left = a + c * a_step;
    const V* const right = b + c * b_step;
    unrolled<R>([&](auto i) KELMAN_INLINED {
      unrolled<C>([&](auto j) KELMAN_INLINED { s[i][j] = unit::fma<Scalar>(left[i].v[u], right[j].v[u], s[i][j]); });
    });
  }
  unrolled<R>([&](auto i)
                  KELMAN_INLINED { unrolled<C>([&](auto j) KELMAN_INLINED { sum[i * cols + j].v[u] = s[i][j]; }); });
}

/// S += sum_c a_c b_c' over `count` steps in the first `units` registers of the packs; tiles that lie above the
/// diagonal are left out if `lower`.
template <class V>
[[gnu::noinline]] void add_outer(Index count, const V* a, Index rows, const V* b, Index cols, bool lower, int units,
                                 V* sum) noexcept {
  constexpr auto size_of = [](Index left) { return left >= 4 ? 4 : left >= 2 ? 2 : 1; };
  for (Index i = 0; i < rows; i += size_of(rows - i)) {
    const int R = size_of(rows - i);
    for (Index j = 0; j < cols && !(lower && j >= i + R); j += size_of(cols - j)) {
      const int C = size_of(cols - j);
      const auto tile = R == 4   ? (C == 4   ? add_tile<V, 4, 4>
                                    : C == 2 ? add_tile<V, 4, 2>
                                             : add_tile<V, 4, 1>)
                        : R == 2 ? (C == 4   ? add_tile<V, 2, 4>
                                    : C == 2 ? add_tile<V, 2, 2>
                                             : add_tile<V, 2, 1>)
                                 : (C == 4   ? add_tile<V, 1, 4>
                                    : C == 2 ? add_tile<V, 1, 2>
                                             : add_tile<V, 1, 1>);
      for (int u = 0; u < units; ++u) {
        tile(count, a + i, rows, b + j, cols, sum + i * cols + j, cols, u);
      }
    }
  }
}

}  // namespace kelman::linear::shared
