// SPDX-License-Identifier: BSD-3-Clause
// The way back through time in lanes: r and N of the measurements after a point, and what follows from them.
//
//   l = sum of log p(z_k | z_1..z_k-1) over the later steps,   r = dl/dx (n),   (r r' - N)/2 = dl/dP (n×n)
//
// Back over one component with row h, gain K, variance f, innovation v (missing: K = 0, 1/f = 0, v = 0):
//   q = N K,  u = v/f - K'r,  D = 1/f + K'q                               (n), (1), (1)
//   r <- r + h u,  N <- N - q h' - h q' + h h' D                          (n), (n×n)
// Back over a transition x⁺ = A x + w:
//   r <- A'r,  N <- A'N A                                                 (n), (n×n)
// What follows, with x and P of that point:
//   x_s = x + P r,  P_s = P - P N P                                       (n), (n×n)
//
// Symmetric matrices are lower triangles, row by row. Nothing is inverted: P and Q may be singular.
// References: de Jong 1989; Durbin & Koopman 2012, 4.4, 6.4; Koopman & Shephard 1992 (the score).
#pragma once

#include "kelman/linear/lanes/recursion.hpp"

namespace kelman::linear::lanes {

/// How one component was used, as far as the way back needs it; zeros but for f = 1 where it is missing.
template <int n, Lanes V>
struct Used {
  V K[n];
  V f;
  V inverse;  ///< 1 / f
  V v;
};

/// u and D of one component.
template <Lanes V>
struct Residual {
  V u;
  V D;
};

/// r and N on their way back.
template <int n, Lanes V>
struct Backward {
  V r[n];
  V N[triangle(n)];

  /// Nothing is known from later measurements: after the last one.
  void clear() noexcept {
    for (V& value : r) {
      value = V(scalar_of<V>(0));
    }
    for (V& value : N) {
      value = V(scalar_of<V>(0));
    }
  }

  /// Back over the component with row h (n) that was used with `gain`. Leaves q = N K (n).
  template <class C>
  KELMAN_INLINE Residual<V> component(const C* h, const Used<n, V>& gain, V (&q)[n]) noexcept {
    project<n>(gain.K, N, q);
    const V* const K = gain.K;
    const Residual<V> out{fused(gain.inverse, gain.v, -along<n>(K, r)), gain.inverse + along<n>(K, q)};
    KELMAN_UNROLL
    for (int i = 0; i < n; ++i) {
      r[i] = fused(h[i], out.u, r[i]);
    }
    KELMAN_UNROLL
    for (int j = 0; j < n; ++j) {
      const V t = fused(h[j], out.D, -q[j]);
      KELMAN_UNROLL
      for (int i = j; i < n; ++i) {
        N[entry(i, j)] = fused(h[i], t, fused_minus(q[i], V(h[j]), N[entry(i, j)]));
      }
    }
    return out;
  }

  /// Back over a transition. Leaves N A (n×n) of before it, row by row.
  template <class C>
  KELMAN_INLINE void transition(const C* A, V (&NA)[n * n]) noexcept {
    V before[n];
    each_row<n>([&](int i) {
      V row[n];  // of N
      KELMAN_UNROLL
      for (int l = 0; l < n; ++l) {
        row[l] = N[entry(i, l)];
      }
      before[i] = r[i];
      KELMAN_UNROLL
      for (int j = 0; j < n; ++j) {
        V total = V(A[j]) * row[0];
        KELMAN_UNROLL
        for (int l = 1; l < n; ++l) {
          total = fused(A[l * n + j], row[l], total);
        }
        NA[i * n + j] = total;
      }
    });
    each_row<n>([&](int i) {
      V moved = V(A[i]) * before[0];
      KELMAN_UNROLL
      for (int l = 1; l < n; ++l) {
        moved = fused(A[l * n + i], before[l], moved);
      }
      r[i] = moved;
      KELMAN_UNROLL
      for (int j = 0; j < n; ++j) {
        if (j <= i) {
          V total = V(A[i]) * NA[j];
          KELMAN_UNROLL
          for (int l = 1; l < n; ++l) {
            total = fused(A[l * n + i], NA[l * n + j], total);
          }
          N[entry(i, j)] = total;
        }
      }
    });
  }
};

/// x + P r                                                                                   (n) = (n) + (n×n)(n)
template <int n, Lanes V>
KELMAN_INLINE void smoothed_mean(const State<n, V>& state, const V (&r)[n], V (&out)[n]) noexcept {
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    out[i] = state.x[i];
    KELMAN_UNROLL
    for (int l = 0; l < n; ++l) {
      out[i] = fused(state.P[entry(i, l)], r[l], out[i]);
    }
  }
}

/// P - P N P on the lower triangle                                                           (n×n)
template <int n, Lanes V>
KELMAN_INLINE void smoothed_covariance(const V (&P)[triangle(n)], const V (&N)[triangle(n)],
                                       V (&out)[triangle(n)]) noexcept {
  each_row<n>([&](int i) {
    V row[n];  // of P
    V PN[n];   // of P N
    KELMAN_UNROLL
    for (int l = 0; l < n; ++l) {
      row[l] = P[entry(i, l)];
    }
    KELMAN_UNROLL
    for (int j = 0; j < n; ++j) {
      V total = row[0] * N[entry(0, j)];
      KELMAN_UNROLL
      for (int l = 1; l < n; ++l) {
        total = fused(row[l], N[entry(l, j)], total);
      }
      PN[j] = total;
    }
    KELMAN_UNROLL
    for (int j = 0; j < n; ++j) {
      if (j <= i) {
        V total = row[j];
        KELMAN_UNROLL
        for (int l = 0; l < n; ++l) {
          total = fused_minus(PN[l], P[entry(l, j)], total);
        }
        out[entry(i, j)] = total;
      }
    }
  });
}

}  // namespace kelman::linear::lanes
