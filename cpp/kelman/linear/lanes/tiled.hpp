// SPDX-License-Identifier: BSD-3-Clause
// The recursion over lanes for states too large to unroll: the size n is known at run time only.
//
//   predict    G = A P, a few rows at a time,  P <- Q + G A'            (R×n) = (R×n)(n×n), (n×n)
//   update     as in recursion.hpp, one component after the other       (n), (n×n)
//
// Products go by tiles (tiles.hpp). Only lower triangles are computed and stored. Where A (or H) is mostly zeros, only
// its other entries are visited.
#pragma once

#include <algorithm>

#include "kelman/linear/lanes/kernel.hpp"
#include "kelman/linear/lanes/tiles.hpp"

namespace kelman::linear::lanes {

/// The recursion for one group; all arrays are the caller's.
template <Lanes V, class C>
class Tiled {
 public:
  using T = scalar_of<V>;

  explicit Tiled(const Chunk<V, C>& chunk) noexcept
      : n_(chunk.n),
        x_(chunk.x),
        P_(chunk.P),
        G_(chunk.work),
        next_(chunk.work + n_ * n_),
        M_(next_ + n_ * n_),
        K_(M_ + n_),
        A_pattern_(chunk.A_pattern),
        H_pattern_(chunk.H_pattern) {}

  /// x <- A x                                                                                (n) = (n×n)(n)
  void predict_mean(const C* A) noexcept {
    if (A_pattern_) {
      for (Index i = 0; i < n_; ++i) {
        V total = V(T(0));
        for (Index e = A_pattern_.start[i]; e < A_pattern_.start[i + 1]; ++e) {
          total = fused(A[i * n_ + A_pattern_.column[e]], x_[A_pattern_.column[e]], total);
        }
        M_[i] = total;
      }
    } else {
      in_pieces<tile_columns>(n_, [&](Index i, auto U) {
        right_tile<1, U(), false>(n_, x_, A + i * n_, [&](int, int u, const V& sum) { M_[i + u] = sum; });
      });
    }
    std::copy_n(M_, n_, x_);
  }

  /// P <- A P A' + Q on the lower triangle; Q is stored whole.                 (n×n) = (n×n)(n×n)(n×n) + (n×n)
  void predict_covariance(const C* A, const C* Q) noexcept {
    if (A_pattern_) {
      left_sparse(A);
      right_sparse(A, Q);
    } else {
      const auto rows = [&](Index i, auto R) { predict_rows<R()>(i, A, Q); };
      n_ < tall_tile* tall_tile ? in_pieces<tile_height>(n_, rows) : in_pieces<tall_tile>(n_, rows);
    }
    std::swap(P_, next_);
  }

  /// The lower triangle of the covariance, which is in one of two places.
  [[nodiscard]] const V* covariance() const noexcept { return P_; }

  /// Uses the component y (NaN = missing) with row h (n), the j-th, and noise variance r > 0, as `update` of
  /// recursion.hpp does.
  void update(Index j, const C* h, const C& r, const V& y, Evidence<V>& evidence, mask_of<V>& failed, V& f_out,
              V& v_out) noexcept {
    constexpr T precise = T(1e-3);
    project(j, h);
    const mask_of<V> observed = y == y;
    const V f = select(observed, along(j, h, M_) + V(r), V(T(1)));
    failed = failed | !(f >= V(std::numeric_limits<T>::min()));
    const V reciprocal = V(T(1)) / f;
    const V inverse = select(observed, reciprocal, V(T(0)));
    const V v = select(observed, y - along(j, h, x_), V(T(0)));
    for (Index i = 0; i < n_; ++i) {
      K_[i] = M_[i] * inverse;
      x_[i] = fused(K_[i], v, x_[i]);
    }
    V* row = P_;
    for (Index i = 0; i < n_; row += ++i) {
      const V K = -K_[i];
      for (Index l = 0; l <= i; ++l) {
        row[l] = fused(K, M_[l], row[l]);
      }
    }
    const mask_of<V> restore = V(r) < V(precise) * f;
    if (any(restore)) [[unlikely]] {
      polish(j, h, r, inverse, restore);
    }
    evidence.add(f, v, inverse, observed);
    f_out = f;
    v_out = v;
  }

 private:
  /// Rows i to i + R of A P A' + Q up to the diagonal, to `next`.
  template <int R>
  void predict_rows(Index i, const C* A, const C* Q) noexcept {
    in_pieces<tile_columns>(n_, [&](Index l, auto U) { left_tile<R, U()>(n_, A + i * n_, P_, l, G_); });
    const Index end = i + R;
    const auto columns = [&]<int U, bool corner>(Index l, std::integral_constant<int, U>, std::bool_constant<corner>) {
      right_tile<R, U, corner>(n_, G_, A + l * n_, [&](int r, int u, const V& sum) {
        const Index row = i + r;
        if (R <= U || l + u <= row) {
          next_[row * (row + 1) / 2 + l + u] = sum + V(Q[row * n_ + l + u]);
        }
      });
    };
    using Two = std::integral_constant<int, 2>;
    using Three = std::integral_constant<int, 3>;
    if (end == 2) {
      columns(0, Two{}, std::true_type{});
    } else if (end == 5) {
      columns(0, Three{}, std::false_type{});
      columns(3, Two{}, std::true_type{});
    } else {
      in_pieces<tile_columns>(end, [&](Index l, auto U) {
        l + U() == end ? columns(l, U, std::true_type{}) : columns(l, U, std::false_type{});
      });
    }
  }

  /// G = A P over the entries of A that are not zero.                                         (n×n) = (n×n)(n×n)
  void left_sparse(const C* A) noexcept {
    for (Index i = 0; i < n_; ++i) {
      V* const g = G_ + i * n_;
      bool first = true;
      for (Index e = A_pattern_.start[i]; e < A_pattern_.start[i + 1]; ++e) {
        const Index k = A_pattern_.column[e];
        const V a = V(A[i * n_ + k]);
        each_of_row(k, [&](Index l, const V& p) { g[l] = first ? a * p : fused(a, p, g[l]); });
        first = false;
      }
      if (first) {
        std::fill_n(g, n_, V(T(0)));
      }
    }
  }

  /// next = Q + G A' over the entries of A that are not zero, lower triangle.                 (n×n) += (n×n)(n×n)
  void right_sparse(const C* A, const C* Q) noexcept {
    for (Index j = 0; j < n_; ++j) {
      const Index end = A_pattern_.start[j + 1];
      Index e = A_pattern_.start[j];
      const Index l = e < end ? A_pattern_.column[e] : 0;
      const V a = e < end ? V(A[j * n_ + l]) : V(T(0));
      V* sum = next_ + j * (j + 1) / 2 + j;
      for (Index i = j; i < n_; sum += ++i) {
        *sum = fused(a, G_[i * n_ + l], V(Q[i * n_ + j]));
      }
      for (++e; e < end; ++e) {
        add_column(j, A_pattern_.column[e], V(A[j * n_ + A_pattern_.column[e]]));
      }
    }
  }

  /// Column j of next += a times column l of G.
  void add_column(Index j, Index l, const V& a) noexcept {
    V* sum = next_ + j * (j + 1) / 2 + j;
    for (Index i = j; i < n_; sum += ++i) {
      *sum = fused(a, G_[i * n_ + l], *sum);
    }
  }

  /// Calls visit(l, P_kl) for row k of P.
  template <class F>
  KELMAN_INLINE void each_of_row(Index k, F&& visit) const noexcept {
    const V* p = P_ + k * (k + 1) / 2;
    for (Index l = 0; l <= k; ++l) {
      visit(l, p[l]);
    }
    p += k;
    for (Index l = k + 1; l < n_; ++l) {
      p += l;
      visit(l, *p);
    }
  }

  /// M = P h                                                                                 (n) = (n×n)(n)
  KELMAN_INLINE void project(Index j, const C* h) noexcept {
    if (!H_pattern_) {
      in_pieces<tile_columns>(n_, [&](Index l, auto U) { left_tile<1, U()>(n_, h, P_, l, M_); });
      return;
    }
    std::fill_n(M_, n_, V(T(0)));
    for (Index e = H_pattern_.start[j]; e < H_pattern_.start[j + 1]; ++e) {
      const V a = V(h[H_pattern_.column[e]]);
      each_of_row(H_pattern_.column[e], [&](Index l, const V& p) { M_[l] = fused(a, p, M_[l]); });
    }
  }

  /// h x                                                                                     (1) = (1×n)(n)
  [[nodiscard]] KELMAN_INLINE V along(Index j, const C* h, const V* x) const noexcept {
    if (H_pattern_) {
      V total = V(T(0));
      for (Index e = H_pattern_.start[j]; e < H_pattern_.start[j + 1]; ++e) {
        total = fused(h[H_pattern_.column[e]], x[H_pattern_.column[e]], total);
      }
      return total;
    }
    V part[4] = {V(T(0)), V(T(0)), V(T(0)), V(T(0))};
    Index l = 0;
    for (; l + 4 <= n_; l += 4) {
      KELMAN_UNROLL
      for (int u = 0; u < 4; ++u) {
        part[u] = fused(h[l + u], x[l + u], part[u]);
      }
    }
    for (; l < n_; ++l) {
      part[0] = fused(h[l], x[l], part[0]);
    }
    return (part[0] + part[1]) + (part[2] + part[3]);
  }

  /// P += alpha K K' - K M' - M K' with M = P h, in the lanes `where`: `downdate_precise` of
  /// recursion.hpp.
  [[gnu::noinline]] void polish(Index j, const C* h, const C& r, const V& inverse, const mask_of<V>& where) noexcept {
    project(j, h);
    const V alpha = fused(V(r), fused(V(r), inverse, V(T(1))), along(j, h, M_));
    V* row = P_;
    for (Index i = 0; i < n_; row += ++i) {
      const V K = select(where, K_[i], V(T(0)));
      const V rest = fused(alpha, K, -M_[i]);
      for (Index l = 0; l <= i; ++l) {
        const V other = select(where, K_[l], V(T(0)));
        row[l] = fused_minus(K, M_[l], fused(rest, other, row[l]));
      }
    }
  }

  Index n_;
  V* x_;
  V* P_;
  V* G_;
  V* next_;
  V* M_;
  V* K_;
  Pattern A_pattern_;
  Pattern H_pattern_;
};

/// P (n×n) from its lower triangle.
template <Lanes V>
void unfold(Index n, const V* triangle, V* P) noexcept {
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j <= i; ++j, ++triangle) {
      P[i * n + j] = *triangle;
      P[j * n + i] = *triangle;
    }
  }
}

/// Takes the steps of a chunk, as take_steps of kernel.hpp.
template <Lanes V, class C>
void take_tiled(const Chunk<V, C>& chunk) noexcept {
  const Index n = chunk.n;
  Tiled<V, C> filter(chunk);
  Evidence<V> evidence = *chunk.evidence;
  mask_of<V> failed = *chunk.failed;
  const V* y = chunk.y;
  const C* Q = chunk.Q;
  for (Index t = 0; t < chunk.steps; ++t) {
    if (t > 0 || chunk.predict_first) {
      filter.predict_mean(chunk.A + t * chunk.A_time);
      filter.predict_covariance(chunk.A + t * chunk.A_time, Q);
      Q += chunk.Q_time;
      for (Index i = 0; chunk.drive != nullptr && i < n; ++i) {
        chunk.x[i] += chunk.drive[t * n + i];
      }
    }
    const C* h = chunk.H + t * chunk.H_time;
    const C* r = chunk.noise + t * chunk.noise_time;
    for (Index j = 0; j < chunk.m; ++j, h += n, r += chunk.noise_next) {
      const Index at = t * chunk.m + j;
      filter.update(j, h, *r, *y++, evidence, failed, chunk.f[at], chunk.v[at]);
    }
    if (chunk.mean != nullptr) {
      std::copy_n(chunk.x, n, chunk.mean + t * n);
    }
    if (chunk.cov != nullptr) {
      unfold(n, filter.covariance(), chunk.cov + t * n * n);
    }
  }
  if (filter.covariance() != chunk.P) {
    std::copy_n(filter.covariance(), n * (n + 1) / 2, chunk.P);
  }
  *chunk.evidence = evidence;
  *chunk.failed = failed;
}

}  // namespace kelman::linear::lanes
