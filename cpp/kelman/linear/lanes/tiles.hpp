// SPDX-License-Identifier: BSD-3-Clause
// Tiles of the products of the recursion over lanes: R×U packs of a result.
//
//   G = A P                                                                                 (n×n) = (n×n)(n×n)
//   S = G A'                                                                                (n×n) = (n×n)(n×n)
//
// A tile stays in registers while the inner index runs, so that every pack loaded serves several multiply-adds. Sizes
// are cut into pieces of two neighbouring lengths, which reach every n without a remainder. The symmetric P is its
// lower triangle, read as a whole matrix: row k left of the diagonal, and from there on down column k.
#pragma once

#include <utility>

#include "kelman/linear/lanes/recursion.hpp"

namespace kelman::linear::lanes {

/// Lengths of the pieces of columns and of rows: with k and k + 1 every size from k (k - 1) on can be cut. Higher tiles
/// load less, where there are registers for them.
inline constexpr int tile_columns = 3;
inline constexpr int tile_height = register_bytes >= 64 ? 3 : 2;
inline constexpr int tall_tile = register_bytes >= 64 ? 4 : tile_height;

/// Cuts [0, n) into as many pieces of `least + 1` as can be and others of `least`: calls piece(first, length as a
/// constant).
template <int least, class F>
KELMAN_INLINE void in_pieces(Index n, F&& piece) noexcept {
  const Index shorter = (least + 1 - n % (least + 1)) % (least + 1);
  Index i = 0;
  for (; i + least * shorter < n; i += least + 1) {
    piece(i, std::integral_constant<int, least + 1>{});
  }
  for (; i < n; i += least) {
    piece(i, std::integral_constant<int, least>{});
  }
}

/// Sums of a tile. A single row has two sets of sums, which take turns: the next multiply-add need not wait for the one
/// before.
template <int R, int U, Lanes V>
struct Sums {
  static constexpr int sets = R == 1 ? 2 : 1;
  V sum[sets][R][U];

  KELMAN_INLINE Sums() noexcept {
    KELMAN_UNROLL
    for (int e = 0; e < sets * R * U; ++e) {
      sum[e / (R * U)][e / U % R][e % U] = V(scalar_of<V>(0));
    }
  }

  [[nodiscard]] KELMAN_INLINE V at(int r, int u) const noexcept {
    return sets == 1 ? sum[0][r][u] : sum[0][r][u] + sum[sets - 1][r][u];
  }

  /// Calls step(k, its set) for k in [first, end).
  template <class F>
  KELMAN_INLINE void each(Index first, Index end, F&& step) noexcept {
    Index k = first;
    for (; k + sets <= end; k += sets) {
      KELMAN_UNROLL
      for (int s = 0; s < sets; ++s) {
        step(k + s, sum[s]);
      }
    }
    for (; sets > 1 && k < end; ++k) {
      step(k, sum[0]);
    }
  }
};

/// G = A P for R rows of A (row length n), columns l to l + U of the symmetric P.            (R×U) = (R×n)(n×U)
template <int R, int U, Lanes V, class C>
KELMAN_INLINE void left_tile(Index n, const C* A, const V* P, Index l, V* G) noexcept {
  Sums<R, U, V> sums;
  const auto add = [&](Index k, V(&sum)[R][U], auto&& at) {
    KELMAN_UNROLL
    for (int u = 0; u < U; ++u) {
      const V p = at(u);
      KELMAN_UNROLL
      for (int r = 0; r < R; ++r) {
        sum[r][u] = fused(A[r * n + k], p, sum[r][u]);
      }
    }
  };
  const V* const rows = P + l * (l + 1) / 2;  // row l + u starts u l + u (u + 1) / 2 later
  sums.each(0, l, [&](Index k, auto& sum) { add(k, sum, [&](int u) { return rows[u * l + u * (u + 1) / 2 + k]; }); });
  KELMAN_UNROLL
  for (int d = 0; d < U; ++d) {
    add(l + d, sums.sum[0],
        [&](int u) { return u < d ? rows[d * l + d * (d + 1) / 2 + l + u] : rows[u * l + u * (u + 1) / 2 + l + d]; });
  }
  const V* row = P + (l + U) * (l + U + 1) / 2 + l;
  sums.each(l + U, n, [&](Index k, auto& sum) {
    add(k, sum, [&](int u) { return row[u]; });
    row += k + 1;
  });
  KELMAN_UNROLL
  for (int r = 0; r < R; ++r) {
    KELMAN_UNROLL
    for (int u = 0; u < U; ++u) {
      G[r * n + l + u] = sums.at(r, u);
    }
  }
}

/// Sum over l of G_il A_jl for R rows of G (row length n) and U rows of A; `put` takes (r, u, sum). With `corner` the
/// last of the U columns is on the diagonal of the last of the R rows, and what is above the diagonal is left out.
///                                                                                          (R×U) = (R×n)(n×U)
template <int R, int U, bool corner, Lanes V, class C, class F>
KELMAN_INLINE void right_tile(Index n, const V* G, const C* A, F&& put) noexcept {
  constexpr auto wanted = [](int r, int u) { return !corner || u <= r + U - R; };
  Sums<R, U, V> sums;
  sums.each(0, n, [&](Index l, auto& sum) {
    KELMAN_UNROLL
    for (int r = 0; r < R; ++r) {
      const V g = G[r * n + l];
      KELMAN_UNROLL
      for (int u = 0; u < U; ++u) {
        if (wanted(r, u)) {
          sum[r][u] = fused(A[u * n + l], g, sum[r][u]);
        }
      }
    }
  });
  KELMAN_UNROLL
  for (int r = 0; r < R; ++r) {
    KELMAN_UNROLL
    for (int u = 0; u < U; ++u) {
      if (wanted(r, u)) {
        put(r, u, sums.at(r, u));
      }
    }
  }
}

}  // namespace kelman::linear::lanes
