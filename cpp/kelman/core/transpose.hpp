// SPDX-License-Identifier: BSD-3-Clause
// Rows of W series in memory <-> packs with one series per lane.
//
//   memory   row l of a series: its numbers, one after the other        packs   out[c] = (row 0)[c] ... (row W-1)[c]
//
// L rows and L columns at a time, L what a register holds, are transposed in registers: log2 L rounds of shuffles.
#pragma once

#include <cstring>
#include <utility>

#include "kelman/core/pack.hpp"

namespace kelman {

namespace unit {

#ifndef KELMAN_PORTABLE_PACK
/// Groups of `width` values of a and b in turn, within each 128 bits: of the lower halves, or of the upper.
template <int width, bool upper, class U, int... at>
[[nodiscard]] inline U interleave(const U& a, const U& b, std::integer_sequence<int, at...>) noexcept {
  constexpr int L = sizeof...(at);
  constexpr int per = 16 * L / static_cast<int>(sizeof(U));  // values in 128 bits
  return __builtin_shufflevector(a, b,
                                 (at / per * per + (upper ? per / 2 : 0) + at % per / (2 * width) * width + at % width +
                                  (at % per / width % 2) * L)...);
}

/// The even (or odd) groups of 128 bits of a, then those of b.
template <bool odd, class U, int... at>
[[nodiscard]] inline U alternate(const U& a, const U& b, std::integer_sequence<int, at...>) noexcept {
  constexpr int L = sizeof...(at);
  constexpr int per = 16 * L / static_cast<int>(sizeof(U));
  return __builtin_shufflevector(
      a, b,
      (at < L / 2 ? (2 * (at / per) + (odd ? 1 : 0)) * per + at % per
                  : L + (2 * ((at - L / 2) / per) + (odd ? 1 : 0)) * per + (at - L / 2) % per)...);
}
#endif

#ifndef KELMAN_PORTABLE_PACK
/// Exchanges groups of 128 bits between registers `distance`, 2 distance, ... apart.
template <int distance, class U, int L>
inline void exchange(U (&block)[L]) noexcept {
  if constexpr (distance < L) {
    using Order = std::make_integer_sequence<int, L>;
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) {
      if ((i & distance) == 0) {
        const U a = block[i];
        const U b = block[i + distance];
        block[i] = alternate<false>(a, b, Order{});
        block[i + distance] = alternate<true>(a, b, Order{});
      }
    }
    exchange<2 * distance>(block);
  }
}
#endif

/// Transposes L registers of L values, all within registers.                                 (L×L) = (L×L)'
template <Real T, class U, int L>
inline void transpose(U (&block)[L]) noexcept {
#ifdef KELMAN_PORTABLE_PACK
  (void)block;  // one number
#else
  static_assert(L == register_lanes<T>);
  constexpr int per = 16 / static_cast<int>(sizeof(T));
  using Order = std::make_integer_sequence<int, L>;
  // within 128 bits
#pragma GCC unroll 16
  for (int i = 0; i < L; i += 2) {
    const U a = block[i];
    const U b = block[i + 1];
    block[i] = interleave<1, false>(a, b, Order{});
    block[i + 1] = interleave<1, true>(a, b, Order{});
  }
  if constexpr (per == 4) {
#pragma GCC unroll 16
    for (int i = 0; i < L; i += 4) {
      const U a0 = block[i];
      const U a1 = block[i + 1];
      const U b0 = block[i + 2];
      const U b1 = block[i + 3];
      block[i] = interleave<2, false>(a0, b0, Order{});
      block[i + 1] = interleave<2, true>(a0, b0, Order{});
      block[i + 2] = interleave<2, false>(a1, b1, Order{});
      block[i + 3] = interleave<2, true>(a1, b1, Order{});
    }
  }
  // between groups of 128 bits
  exchange<per>(block);
#endif
}

}  // namespace unit

/// out[c] = number `first + c` of each of the W rows, for c < count.
template <class V>
  requires(lanes<V> > 1)
inline void gather(const scalar_of<V>* const* rows, Index first, Index count, V* out) noexcept {
  using T = scalar_of<V>;
  using U = typename V::Unit;
  constexpr int L = V::unit_lanes;
  Index c = 0;
  for (; c + L <= count; c += L) {
    for (int u = 0; u < V::units; ++u) {
      U block[L];
      for (int l = 0; l < L; ++l) {
        std::memcpy(&block[l], rows[u * L + l] + first + c, sizeof(U));
      }
      unit::transpose<T>(block);
      for (int l = 0; l < L; ++l) {
        out[c + l].v[u] = block[l];
      }
    }
  }
  for (; c < count; ++c) {
    for (int l = 0; l < lanes<V>; ++l) {
      set_lane(out[c], l, rows[l][first + c]);
    }
  }
}

/// Number `first + c` of each of the W rows = in[c], for c < count. With `past_caches` whole registers are streamed:
/// `rows[l] + first` is then aligned to a register.
template <bool past_caches = false, class V>
  requires(lanes<V> > 1)
inline void scatter(const V* in, Index count, scalar_of<V>* const* rows, Index first) noexcept {
  using T = scalar_of<V>;
  using U = typename V::Unit;
  constexpr int L = V::unit_lanes;
  Index c = 0;
  for (; c + L <= count; c += L) {
    for (int u = 0; u < V::units; ++u) {
      U block[L];
      for (int l = 0; l < L; ++l) {
        block[l] = in[c + l].v[u];
      }
      unit::transpose<T>(block);
      for (int l = 0; l < L; ++l) {
        T* const to = rows[u * L + l] + first + c;
        if constexpr (past_caches) {
          unit::stream<T>(to, block[l]);
        } else {
          std::memcpy(to, &block[l], sizeof(U));
        }
      }
    }
  }
  for (; c < count; ++c) {
    for (int l = 0; l < lanes<V>; ++l) {
      rows[l][first + c] = lane(in[c], l);
    }
  }
}

}  // namespace kelman
