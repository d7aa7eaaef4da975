// SPDX-License-Identifier: BSD-3-Clause
// The filter's recursion over V: one series (V = double, float) or the series of a group, side by side (V = Pack).
//
//   predict    x <- A x + d                             (n)       d = b + B u
//              P <- A P A' + Q                          (n×n)     as G = A P, P = Q + G A'
//   update     M = P h,  f = h'M + r                    (n), (1)  one component of z after the other, r > 0
//              K = M / f,  v = y - h x                  (n), (1)
//              x <- x + K v,  P <- P - K M'             (n), (n×n)
//   log p      -1/2 sum (log f + v²/f + log 2 pi)       over the observed components
//
// The size n is a template parameter, so that everything below unrolls into registers; the number of components is not.
// A covariance is its lower triangle, row by row, n(n+1)/2 values. A component that is missing in a lane (y is NaN) has
// f = 1, K = 0 and v = 0 there: no lane takes another way than its neighbours. C, the type of the coefficients, is a
// number for a model that all lanes share, or V for one model per lane; the arithmetic is the same to the bit.
// Reference: Durbin & Koopman 2012, 6.4 (one component at a time).
#pragma once

#include <limits>

#include "kelman/core/pack.hpp"

#if defined(__clang__)
#define KELMAN_UNROLL _Pragma("clang loop unroll(full)")
#define KELMAN_INLINE [[gnu::always_inline]] inline
#elif defined(__GNUC__)
#define KELMAN_UNROLL _Pragma("GCC unroll 16")
#define KELMAN_INLINE [[gnu::always_inline]] inline
#else
#define KELMAN_UNROLL
#define KELMAN_INLINE inline
#endif

namespace kelman::linear::lanes {

/// Largest n for which the recursion is instantiated.
inline constexpr int largest_n = 8;

/// Values in the lower triangle of an n×n matrix, and where entry (i, j) is in it.
[[nodiscard]] constexpr int triangle(int n) noexcept { return n * (n + 1) / 2; }
[[nodiscard]] constexpr int entry(int i, int j) noexcept { return i >= j ? triangle(i) + j : triangle(j) + i; }

/// Mean and lower triangle of the covariance of the state.
template <int n, Lanes V>
struct State {
  V x[n];
  V P[triangle(n)];
};

/// How one component was used: x gained K v. What is missing has zeros.
template <int n, Lanes V>
struct Gain {
  V K[n];
  V f;        ///< variance of the innovation, 1 where missing
  V inverse;  ///< 1 / f
  V v;
  mask_of<V> observed;
};

/// The log-likelihood in the making. Pivots f are multiplied, and the exponent of the product is split off: no
/// logarithm is taken in the loop.
template <Lanes V>
struct Evidence {
  V quadratic = V(scalar_of<V>(0));  ///< sum of v²/f
  V mantissa = V(scalar_of<V>(1));   ///< product of f is mantissa 2^exponent
  V exponent = V(scalar_of<V>(0));
  V count = V(scalar_of<V>(0));  ///< observed components

  /// Takes one component: f > 0, and v, 1/f; where it is missing f = 1, v = 0.
  KELMAN_INLINE void add(const V& f, const V& v, const V& inverse, const mask_of<V>& observed) noexcept {
    using T = scalar_of<V>;
    quadratic = fused(v * inverse, v, quadratic);
    mantissa = mantissa * f;
    exponent += split_exponent(mantissa);
    count += select(observed, V(T(1)), V(T(0)));
  }
  template <int n>
  KELMAN_INLINE void add(const Gain<n, V>& gain) noexcept {
    add(gain.f, gain.v, gain.inverse, gain.observed);
  }
};

/// x <- A x                                                                                  (n) = (n×n)(n)
template <int n, Lanes V, class C>
KELMAN_INLINE void predict_mean(const C* A, V (&x)[n]) noexcept {
  V next[n];
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    next[i] = V(A[i * n]) * x[0];
    KELMAN_UNROLL
    for (int l = 1; l < n; ++l) {
      next[i] = fused(A[i * n + l], x[l], next[i]);
    }
  }
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    x[i] = next[i];
  }
}

/// P <- A P A' + Q on the lower triangle; Q is stored whole.                     (n×n) = (n×n)(n×n)(n×n) + (n×n)
template <int n, Lanes V, class C>
KELMAN_INLINE void predict_covariance(const C* A, const C* Q, V (&P)[triangle(n)]) noexcept {
  V next[triangle(n)];
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    V G[n];  // row i of A P
    KELMAN_UNROLL
    for (int l = 0; l < n; ++l) {
      G[l] = V(A[i * n]) * P[entry(0, l)];
      KELMAN_UNROLL
      for (int k = 1; k < n; ++k) {
        G[l] = fused(A[i * n + k], P[entry(k, l)], G[l]);
      }
    }
    KELMAN_UNROLL
    for (int j = 0; j <= i; ++j) {
      V total = V(Q[i * n + j]);
      KELMAN_UNROLL
      for (int l = 0; l < n; ++l) {
        total = fused(A[j * n + l], G[l], total);
      }
      next[entry(i, j)] = total;
    }
  }
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    KELMAN_UNROLL
    for (int j = 0; j <= i; ++j) {
      P[entry(i, j)] = next[entry(i, j)];
    }
  }
}

/// M = P h                                                                                   (n) = (n×n)(n)
template <int n, Lanes V, class C>
KELMAN_INLINE void project(const C* h, const V (&P)[triangle(n)], V (&M)[n]) noexcept {
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    M[i] = V(h[0]) * P[entry(i, 0)];
    KELMAN_UNROLL
    for (int l = 1; l < n; ++l) {
      M[i] = fused(h[l], P[entry(i, l)], M[i]);
    }
  }
}

/// h x                                                                                       (1) = (1×n)(n)
template <int n, Lanes V, class C>
[[nodiscard]] KELMAN_INLINE V along(const C* h, const V (&x)[n]) noexcept {
  V total = V(h[0]) * x[0];
  KELMAN_UNROLL
  for (int l = 1; l < n; ++l) {
    total = fused(h[l], x[l], total);
  }
  return total;
}

/// A measurement much more precise than the prediction has cost P - K M' its digits along h. The lanes in `where` get
///   P <- L P L' + r (1 + r/f) K K',   L = I - K h',
/// which restores them: exact if P was exact, since then P h = r K (Univariate::polish).
template <int n, Lanes V, class C>
KELMAN_INLINE void polish(const C* h, const C& r, const Gain<n, V>& gain, const mask_of<V>& where,
                          V (&P)[triangle(n)]) noexcept {
  using T = scalar_of<V>;
  V M[n];
  project<n>(h, P, M);
  // P += alpha K K' - K M' - M K'
  const V alpha = fused(V(r), fused(V(r), gain.inverse, V(T(1))), along<n>(h, M));
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    const V K = select(where, gain.K[i], V(T(0)));
    const V rest = fused(alpha, K, -M[i]);
    KELMAN_UNROLL
    for (int j = 0; j <= i; ++j) {
      const V other = select(where, gain.K[j], V(T(0)));
      P[entry(i, j)] = fused_minus(K, M[j], fused(rest, other, P[entry(i, j)]));
    }
  }
}

/// Uses the component y (NaN = missing) with row h (n) and noise variance r > 0. Lanes whose f is not a positive normal
/// number are set in `failed`; what they hold from then on means nothing.
template <int n, Lanes V, class C>
KELMAN_INLINE Gain<n, V> update(const C* h, const C& r, const V& y, State<n, V>& state, Evidence<V>& evidence,
                                mask_of<V>& failed) noexcept {
  using T = scalar_of<V>;
  constexpr T precise = T(1e-3);  // a measurement this much more precise than its prediction is polished
  Gain<n, V> gain;
  V M[n];
  project<n>(h, state.P, M);
  const mask_of<V> observed = y == y;
  const V f = select(observed, along<n>(h, M) + V(r), V(T(1)));
  failed = failed | !(f >= V(std::numeric_limits<T>::min()));
  const V inverse = V(T(1)) / f;
  gain.f = f;
  gain.observed = observed;
  gain.inverse = select(observed, inverse, V(T(0)));
  gain.v = select(observed, y - along<n>(h, state.x), V(T(0)));
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    gain.K[i] = M[i] * gain.inverse;
  }
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    state.x[i] = fused(gain.K[i], gain.v, state.x[i]);
    KELMAN_UNROLL
    for (int j = 0; j <= i; ++j) {
      state.P[entry(i, j)] = fused_minus(gain.K[i], M[j], state.P[entry(i, j)]);
    }
  }
  const mask_of<V> restore = V(r) < V(precise) * f;
  if (any(restore)) [[unlikely]] {
    polish<n>(h, r, gain, restore, state.P);
  }
  evidence.add(gain);
  return gain;
}

/// Minus twice the log-likelihood of one lane.
template <Lanes V>
[[nodiscard]] inline double deviance(const Evidence<V>& evidence, int l) noexcept {
  constexpr double log_two = 0.693147180559945309417;
  return static_cast<double>(lane(evidence.quadratic, l)) + std::log(static_cast<double>(lane(evidence.mantissa, l))) +
         log_two * static_cast<double>(lane(evidence.exponent, l)) +
         log_two_pi<double> * static_cast<double>(lane(evidence.count, l));
}

}  // namespace kelman::linear::lanes
