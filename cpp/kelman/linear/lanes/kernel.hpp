// SPDX-License-Identifier: BSD-3-Clause
// Some steps of a group of series: the loop over time around the recursion, with everything it reads and writes in
// packs that lie in the first level of the cache.
#pragma once

#include "kelman/linear/lanes/recursion.hpp"

namespace kelman::linear::lanes {

/// Which entries of a matrix are not zero in any series at any time: those of row i are column[start[i]] to
/// column[start[i + 1] - 1]. Null where most entries are.
struct Pattern {
  const Index* start = nullptr;
  const Index* column = nullptr;

  [[nodiscard]] explicit operator bool() const noexcept { return start != nullptr; }
};

/// Largest n that lanes serve, by tiles beyond largest_n (tiled.hpp): the matrices of a group of larger ones leave the
/// caches, and one series alone keeps the registers busy.
inline constexpr Index largest_tiled_n = 64;

/// Packs of scratch that the tiles need.
[[nodiscard]] constexpr Index tiled_work(Index n) noexcept { return 2 * n * n + 2 * n; }

/// Steps of a group. C: the type of the coefficients.
template <Lanes V, class C>
struct Chunk {
  Index steps = 0;
  Index n = 0;
  Index m = 0;
  bool predict_first = true;  ///< false: the state is that predicted for the first step
  // coefficients of the first step, and how far it is to those of the next
  const C* A = nullptr;      ///< (n×n)
  const C* Q = nullptr;      ///< of the first prediction (n×n)
  const C* H = nullptr;      ///< rows of uncorrelated components (m×n)
  const C* noise = nullptr;  ///< their variances, `noise_next` apart (m)
  Index A_time = 0, Q_time = 0, H_time = 0, noise_time = 0, noise_next = 1;
  const V* y = nullptr;      ///< z - c - D u, whitened like H (steps×m)
  const V* drive = nullptr;  ///< b + B u (steps×n), or null
  // state, in and out
  V* x = nullptr;  ///< (n)
  V* P = nullptr;  ///< triangle
  Evidence<V>* evidence = nullptr;
  mask_of<V>* failed = nullptr;
  // results: variances of the innovations, 1 where missing, and innovations given the components before, 0 where
  // missing
  V* f = nullptr;  ///< (steps×m)
  V* v = nullptr;  ///< (steps×m)
  // and moments, each null if it is not kept
  V* mean = nullptr;  ///< (steps×n)
  V* cov = nullptr;   ///< (steps×n×n)
  // for sizes that are not unrolled (tiled.hpp)
  Pattern A_pattern, H_pattern;
  V* work = nullptr;
};

/// Minus twice the log-likelihood without the logarithm of the mantissa.
template <Lanes V>
KELMAN_INLINE V without_mantissa(const Evidence<V>& evidence) noexcept {
  using T = scalar_of<V>;
  return fused(T(0.693147180559945309417), evidence.exponent, fused(log_two_pi<T>, evidence.count, evidence.quadratic));
}

/// Whether two components are taken at once: where what they need stays near the registers.
template <int n>
inline constexpr bool by_two = n >= 2 && n <= 5;

/// Takes the steps of a chunk.
template <int n, Lanes V, class C>
void take_steps(const Chunk<V, C>& chunk) noexcept {
  State<n, V> state;
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    state.x[i] = chunk.x[i];
    KELMAN_UNROLL
    for (int j = 0; j <= i; ++j) {
      state.P[entry(i, j)] = chunk.P[entry(i, j)];
    }
  }
  Evidence<V> evidence = *chunk.evidence;
  mask_of<V> failed = *chunk.failed;
  const C* Q = chunk.Q;
  for (Index t = 0; t < chunk.steps; ++t) {
    if (t > 0 || chunk.predict_first) {
      predict_mean<n>(chunk.A + t * chunk.A_time, state.x);
      predict_covariance<n>(chunk.A + t * chunk.A_time, Q, state.P);
      Q += chunk.Q_time;
      if (chunk.drive != nullptr) {
        KELMAN_UNROLL
        for (int i = 0; i < n; ++i) {
          state.x[i] += chunk.drive[t * n + i];
        }
      }
    }
    const C* h = chunk.H + t * chunk.H_time;
    const C* r = chunk.noise + t * chunk.noise_time;
    const V* const y = chunk.y + t * chunk.m;
    V* const f = chunk.f + t * chunk.m;
    V* const v = chunk.v + t * chunk.m;
    Index e = 0;
    if constexpr (by_two<n>) {
      for (; e + 2 <= chunk.m; e += 2, h += 2 * n, r += 2 * chunk.noise_next) {
        update_two<n>(h, r, chunk.noise_next, y + e, state, evidence, failed, f + e, v + e);
      }
    }
    for (; e < chunk.m; ++e, h += n, r += chunk.noise_next) {
      const Gain<n, V> gain = update<n>(h, *r, y[e], state, evidence, failed);
      f[e] = gain.f;
      v[e] = gain.v;
    }
    if (chunk.mean != nullptr) {
      KELMAN_UNROLL
      for (int i = 0; i < n; ++i) {
        chunk.mean[t * n + i] = state.x[i];
      }
    }
    if (chunk.cov != nullptr) {
      V* const cov = chunk.cov + t * n * n;
      KELMAN_UNROLL
      for (int i = 0; i < n; ++i) {
        KELMAN_UNROLL
        for (int j = 0; j < n; ++j) {
          cov[i * n + j] = state.P[entry(i, j)];
        }
      }
    }
  }
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    chunk.x[i] = state.x[i];
    KELMAN_UNROLL
    for (int j = 0; j <= i; ++j) {
      chunk.P[entry(i, j)] = state.P[entry(i, j)];
    }
  }
  *chunk.evidence = evidence;
  *chunk.failed = failed;
}

template <Lanes V, class C>
using Kernel = void (*)(const Chunk<V, C>&) noexcept;

/// Two registers per pack hide what one waits for, as long as the state stays near the registers: up to this n. Above,
/// taking two components at once hides as much.
inline constexpr int largest_wide_n = register_bytes > 16 ? 3 : 1;

/// Largest n for which packs V have a kernel.
template <Lanes V>
inline constexpr int largest_n_of = (kelman::lanes<V> > register_lanes<scalar_of<V>>) ? largest_wide_n : largest_n;

/// The kernel for size n, 1 <= n <= largest_n_of<V>, or largest_tiled_n for packs of one register; instantiated in the
/// library.
template <Lanes V, class C>
[[nodiscard]] Kernel<V, C> kernel_of(Index n) noexcept;

}  // namespace kelman::linear::lanes
