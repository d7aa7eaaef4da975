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

#include <algorithm>
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

#if defined(__clang__)
#define KELMAN_ROLLED _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__)
#define KELMAN_ROLLED _Pragma("GCC unroll 1")
#else
#define KELMAN_ROLLED
#endif

namespace kelman::linear::lanes {

/// Largest n for which the recursion is instantiated.
inline constexpr int largest_n = 8;

/// Values in the lower triangle of an n×n matrix, and where entry (i, j) is in it.
[[nodiscard]] constexpr int triangle(int n) noexcept { return n * (n + 1) / 2; }
[[nodiscard]] constexpr int entry(int i, int j) noexcept { return i >= j ? triangle(i) + j : triangle(j) + i; }

/// body(i) for all rows: unrolled for small n; a loop where all rows together would leave the registers and the
/// instruction cache.
template <int n, class Body>
KELMAN_INLINE void each_row(Body&& body) noexcept {
  if constexpr (n <= 5) {
    KELMAN_UNROLL
    for (int i = 0; i < n; ++i) {
      body(i);
    }
  } else {
    KELMAN_ROLLED
    for (int i = 0; i < n; ++i) {
      body(i);
    }
  }
}

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

/// P <- P - K M'                                                                             (n×n)
template <int n, Lanes V>
KELMAN_INLINE void downdate(const V (&K)[n], const V (&M)[n], V (&P)[triangle(n)]) noexcept {
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    KELMAN_UNROLL
    for (int j = 0; j <= i; ++j) {
      P[entry(i, j)] = fused_minus(K[i], M[j], P[entry(i, j)]);
    }
  }
}

/// Where a measurement is so much more precise than its prediction that P - K M' loses digits.
template <Lanes V, class C>
[[nodiscard]] KELMAN_INLINE mask_of<V> too_precise(const C& r, const V& f) noexcept {
  return V(r) < V(scalar_of<V>(1e-3)) * f;
}

/// P <- P - K M' where a measurement is much more precise than the prediction in some lanes, so that digits are lost
/// along h. These lanes get
///   P <- L P L' + r (1 + r/f) K K',   L = I - K h',
/// which restores them: exact if P was exact, since then P h = r K (Univariate::polish). All is computed anew: what
/// this needs would otherwise be kept at every update for what seldom happens.
template <int n, Lanes V, class C>
KELMAN_INLINE void downdate_precise(const C* h, const C& r, const V& y, V (&P)[triangle(n)]) noexcept {
  using T = scalar_of<V>;
  V M[n];
  V K[n];
  const auto project_rows = [&] {
    each_row<n>([&](int i) {
      M[i] = V(h[0]) * P[entry(i, 0)];
      KELMAN_UNROLL
      for (int l = 1; l < n; ++l) {
        M[i] = fused(h[l], P[entry(i, l)], M[i]);
      }
    });
  };
  project_rows();
  const mask_of<V> observed = y == y;
  const V f = select(observed, along<n>(h, M) + V(r), V(T(1)));
  const V inverse = select(observed, V(T(1)) / f, V(T(0)));
  each_row<n>([&](int i) {
    K[i] = M[i] * inverse;
    for (int j = 0; j <= i; ++j) {
      P[entry(i, j)] = fused_minus(K[i], M[j], P[entry(i, j)]);
    }
  });
  project_rows();
  // P += alpha K K' - K M' - M K'
  const mask_of<V> where = too_precise(r, f);
  const V alpha = fused(V(r), fused(V(r), inverse, V(T(1))), along<n>(h, M));
  each_row<n>([&](int i) {
    K[i] = select(where, K[i], V(T(0)));
    const V rest = fused(alpha, K[i], -M[i]);
    for (int j = 0; j <= i; ++j) {
      P[entry(i, j)] = fused_minus(K[i], M[j], fused(rest, K[j], P[entry(i, j)]));
    }
  });
}

/// The same for `count` components with rows h, noise variances r `next` apart, and y, as a function of its own.
template <int n, Lanes V, class C>
[[gnu::noinline]] void downdate_apart(int count, const C* h, const C* r, Index next, const V* y,
                                      V (&P)[triangle(n)]) noexcept {
  for (int j = 0; j < count; ++j) {
    downdate_precise<n>(h + j * n, r[j * next], y[j], P);
  }
}

/// The same, called where it seldom is: with few numbers in place, for a call would claim all registers.
template <int n, Lanes V, class C>
KELMAN_INLINE void downdate_seldom(int count, const C* h, const C* r, Index next, const V* y,
                                   V (&P)[triangle(n)]) noexcept {
  if constexpr (n <= 2) {
    for (int j = 0; j < count; ++j) {
      downdate_precise<n>(h + j * n, r[j * next], y[j], P);
    }
  } else {
    V copy[triangle(n)];  // what a function gets the address of does not stay in registers
    std::copy_n(P, triangle(n), copy);
    downdate_apart<n>(count, h, r, next, y, copy);
    std::copy_n(copy, triangle(n), P);
  }
}

/// Whether a pivot is no positive normal number.
template <Lanes V>
[[nodiscard]] KELMAN_INLINE mask_of<V> unusable(const V& f) noexcept {
  return !(f >= V(std::numeric_limits<scalar_of<V>>::min()));
}

/// Uses the component y (NaN = missing) with row h (n) and noise variance r > 0. Lanes whose f is not a positive normal
/// number are set in `failed`; what they hold from then on means nothing.
template <int n, Lanes V, class C>
KELMAN_INLINE Gain<n, V> update(const C* h, const C& r, const V& y, State<n, V>& state, Evidence<V>& evidence,
                                mask_of<V>& failed) noexcept {
  using T = scalar_of<V>;
  Gain<n, V> gain;
  V M[n];
  project<n>(h, state.P, M);
  const mask_of<V> observed = y == y;
  gain.f = select(observed, along<n>(h, M) + V(r), V(T(1)));
  gain.inverse = select(observed, V(T(1)) / gain.f, V(T(0)));
  gain.v = select(observed, y - along<n>(h, state.x), V(T(0)));
  failed = failed | unusable(gain.f);
  evidence.add(gain.f, gain.v, gain.inverse, observed);
  const bool precise = any(too_precise(r, gain.f));
  if (precise) [[unlikely]] {
    downdate_seldom<n>(1, h, &r, Index(0), &y, state.P);
  }
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    gain.K[i] = M[i] * gain.inverse;
    state.x[i] = fused(gain.K[i], gain.v, state.x[i]);
    if (!precise) [[likely]] {
      KELMAN_UNROLL
      for (int j = 0; j <= i; ++j) {
        state.P[entry(i, j)] = fused_minus(gain.K[i], M[j], state.P[entry(i, j)]);
      }
    }
  }
  return gain;
}

/// Uses two components, y and z, with rows h and g = h + n, noise variances r and s, which are `next` apart. The
/// results are those of one after the other, by a chain of dependent operations that is half as long:
///   M = P h,  L = P g,  f = h'M + r,  q = g'M / f                                         (n), (1)
///   e = g'L + s - q g'M,  L <- L - q M = P⁺ g,  w = z - g x - q v                         (n), (1)
/// The differences cost no more digits than P - K M' does. f, e and v, w are left in `variances` and `innovations`.
template <int n, Lanes V, class C>
KELMAN_INLINE void update_two(const C* h, const C* r, Index next, const V* y, State<n, V>& state, Evidence<V>& evidence,
                              mask_of<V>& failed, V* variances, V* innovations) noexcept {
  using T = scalar_of<V>;
  const C* const g = h + n;
  V M[n];
  V L[n];
  project<n>(h, state.P, M);
  project<n>(g, state.P, L);
  const mask_of<V> seen = y[0] == y[0];
  const mask_of<V> also = y[1] == y[1];
  const V f = select(seen, along<n>(h, M) + V(r[0]), V(T(1)));
  const V inverse = select(seen, V(T(1)) / f, V(T(0)));
  const V both = along<n>(g, M);
  const V q = both * inverse;
  const V e = select(also, fused_minus(q, both, along<n>(g, L) + V(r[next])), V(T(1)));
  const V other = select(also, V(T(1)) / e, V(T(0)));
  const V v = select(seen, y[0] - along<n>(h, state.x), V(T(0)));
  const V w = select(also, fused_minus(q, v, y[1] - along<n>(g, state.x)), V(T(0)));
  variances[0] = f;
  variances[1] = e;
  innovations[0] = v;
  innovations[1] = w;
  failed = failed | unusable(f) | unusable(e);
  evidence.add(f, v, inverse, seen);
  evidence.add(e, w, other, also);
  V K[n];
  V J[n];
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    L[i] = fused_minus(q, M[i], L[i]);
    K[i] = M[i] * inverse;
    J[i] = L[i] * other;
    state.x[i] = fused(J[i], w, fused(K[i], v, state.x[i]));
  }
  if (any(too_precise(r[0], f) | too_precise(r[next], e))) [[unlikely]] {
    downdate_seldom<n>(2, h, r, next, y, state.P);
  } else {
    downdate<n>(K, M, state.P);
    downdate<n>(J, L, state.P);
  }
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
