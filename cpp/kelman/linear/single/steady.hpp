// SPDX-License-Identifier: BSD-3-Clause
// The filter of one series once its covariances have stopped changing: constant gains, so that only means move on.
//
//   x_k = F x_{k-1} + G s_k + g            (n)      F = (I - K H) A, s = (z, u, u before) (q), in the user's components
//   w_k = Z s_k + o - E x_{k-1}            (m)      E = (H A), Z, o scaled so that w has independent entries of
//   variance 1 log p_k = -1/2 (w'w + log f_1..f_m + m log 2 pi)
//
// where x is filtered. Only F x is a chain from step to step. And the chain forgets: what x was w steps ago has no
// influence once F^w is rounding, so that a long series can be cut into pieces, which are filtered side by side after a
// run-up of w steps each.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kelman/linear/lanes/recursion.hpp"
#include "kelman/linear/model.hpp"

namespace kelman::linear::single {

/// Where the vectors s of one series come from: up to three arrays, side by side.
template <Real T>
struct Sources {
  struct Part {
    const T* data = nullptr;  ///< its first step (count)
    Index stride = 0;         ///< from one step to the next
    Index count = 0;
  };
  Part part[3];

  [[nodiscard]] Index count() const noexcept { return part[0].count + part[1].count + part[2].count; }
};

/// One component, as lanes::update takes it; compiled once for all that use it.
template <int n, Real T>
[[gnu::noinline]] lanes::Gain<n, T> use_component(const T* h, T r, T y, lanes::State<n, T>& state,
                                                  lanes::Evidence<T>& evidence, bool& failed) noexcept {
  return lanes::update<n>(h, r, y, state, evidence, failed);
}

/// Lane l of a vector, in all lanes of `To`; without a way through memory, for the entries of x are a chain.
template <int l, class To, class From>
[[nodiscard]] KELMAN_INLINE To everywhere(const From& from) noexcept {
#ifndef KELMAN_PORTABLE_PACK
  constexpr int L = From::unit_lanes;
  const auto one = [&]<int... I>(std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(from.v[l / L], from.v[l / L], (I * 0 + l % L)...);
  }(std::make_integer_sequence<int, L>{});
  return To::each([&](int) { return one; });
#else
  return To(lane(from, l));
#endif
}

/// Coefficients of the constant filter. Sizes: n states, m components, q = length of s.
template <int n, Real T>
class Steady {
 public:
  [[gnu::cold, gnu::noinline]] Steady(Index m, Index q, Workspace& memory)
      : m_(m),
        q_(q),
        G_(memory.take<T>(n * q)),
        Z_(memory.take<T>(m * q)),
        E_(memory.take<T>(m * n)),
        o_(memory.take<T>(m)),
        rows_(memory.take<T>(m * (q + n + 1))),
        powers_(memory.take<T>(most_powers * n * n)),
        columns_(memory.take<X>(n + q + 1)),
        units_((m + L - 1) / L),
        seen_(memory.take<Unit>((n + q + 1) * units_)) {}

  static constexpr int L = register_lanes<T>;
  using X = Pack<T, (n + L - 1) / L * L>;  ///< x as one vector
  using Unit = Pack<T, L>;                 ///< some of w

  T P_pred[lanes::triangle(n)];  ///< covariance before a measurement, and after it (lower triangles)
  T P_filt[lanes::triangle(n)];
  T F[n * n];
  T g[n];
  T log_f = T(0);  ///< sum of log f

  [[nodiscard]] Index m() const noexcept { return m_; }
  [[nodiscard]] Index q() const noexcept { return q_; }
  [[nodiscard]] const T* G() const noexcept { return G_; }  ///< (n×q)
  [[nodiscard]] const T* Z() const noexcept { return Z_; }  ///< (m×q)
  [[nodiscard]] const T* E() const noexcept { return E_; }  ///< (m×n)
  [[nodiscard]] const T* o() const noexcept { return o_; }  ///< (m)
  [[nodiscard]] bool ready() const noexcept { return ready_; }
  /// Steps after which the past is forgotten; 0 if that takes too long.
  [[nodiscard]] Index memory_length() const noexcept { return memory_length_; }

  /// Whether the covariance before a measurement stays what it is: |P - before| <= 4 eps sqrt(P_ii P_jj), entry by
  /// entry, so that the units of the states do not matter.
  [[nodiscard]] static bool settled(const T* P, const T* before) noexcept {
    constexpr T bound = T(16) * Precision<T>::epsilon * Precision<T>::epsilon;
    bool same = true;
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j <= i; ++j) {
        const T change = P[lanes::entry(i, j)] - before[lanes::entry(i, j)];
        const T allowed = bound * P[lanes::entry(i, i)] * P[lanes::entry(j, j)];
        same = same && change * change <= allowed && allowed <= std::numeric_limits<T>::max();
      }
    }
    return same;
  }

  /// Whether the coefficients that are there belong to this covariance.
  [[nodiscard]] bool fits(const T* P) const noexcept { return ready_ && settled(P, P_pred); }

  /// The model of one step as the scalar filter takes it: x <- A x + b + B u_drive, and the decorrelated rows.
  struct Step {
    const T *A, *b, *B;       ///< (n×n), (n) or null, (n×p) or null
    const T *c, *D;           ///< (m) or null, (m×p) or null
    const T *rows, *noise;    ///< H~ (m×n), diagonal of D (m)
    const T* mix;             ///< L (m×m) or null
    Index p_direct, p_drive;  ///< entries of s that are u, and the driving u
  };

  /// Makes the coefficients for the covariance P before a measurement. False if a pivot is not positive.
  [[nodiscard, gnu::cold, gnu::noinline]] bool make(const Step& step, const T* P) noexcept {
    std::copy_n(P, lanes::triangle(n), P_pred);
    ready_ = false;
    lanes::State<n, T> state{};
    std::copy_n(P, lanes::triangle(n), state.P);
    data_rows(step);
    log_f = T(0);
    lanes::Evidence<T> evidence;
    bool failed = false;
    // x = X_x x_{k-1} + X_s s + X_1 is carried as coefficients; each component takes its residual off, scaled
    const Index width = n + q_ + 1;  // of a row of coefficients: of x_{k-1}, s and 1
    transition(step);
    for (Index e = 0; e < m_; ++e) {
      const T* const h = step.rows + e * n;
      const lanes::Gain<n, T> gain = use_component<n>(h, step.noise[e], T(0), state, evidence, failed);
      if (failed) {
        return false;
      }
      const T scale = std::sqrt(gain.inverse);
      log_f -= std::log(gain.inverse);
      T* const row = rows_ + e * width;  // so far: y_e as coefficients; then v = y_e - h x
      for (Index l = 0; l < width; ++l) {
        for (int i = 0; i < n; ++i) {
          row[l] = fused(-h[i], coefficient(i, l), row[l]);
        }
      }
      for (int i = 0; i < n; ++i) {
        for (Index l = 0; l < width; ++l) {
          coefficient(i, l) = fused(gain.K[i], row[l], coefficient(i, l));
        }
      }
      for (Index l = 0; l < n; ++l) {
        E_[e * n + l] = -scale * row[l];
      }
      for (Index l = 0; l < q_; ++l) {
        Z_[e * q_ + l] = scale * row[n + l];
      }
      o_[e] = scale * row[n + q_];
    }
    std::copy_n(state.P, lanes::triangle(n), P_filt);
    turn();
    ready_ = true;
    forget();
    return true;
  }

  /// One step of one series, x as one vector: the columns of F and G times the entries of x and s. Adds the squares of
  /// w to `quadratic`, whose lanes belong to the components of z.
  KELMAN_INLINE void advance(const T* s, X& x, Unit& quadratic) const noexcept {
    const Index q = q_;
    for (Index u = 0; u < units_; ++u) {
      const Unit* const at = seen_ + u;
      Unit w = at[0];
      for (Index l = 0; l < q; ++l) {
        w = fused(s[l], at[(1 + l) * units_], w);
      }
      each_entry([&]<int l>(std::integral_constant<int, l>) {
        w = fused(everywhere<l, Unit>(x), at[(1 + q + l) * units_], w);
      });
      quadratic = fused(w, w, quadratic);
    }
    X one = columns_[0];
    for (Index l = 0; l < q; ++l) {
      one = fused(s[l], columns_[1 + l], one);
    }
    X other = X(T(0));  // two short sums: this is the chain from step to step
    each_entry([&]<int l>(std::integral_constant<int, l>) {
      X& sum = l % 2 == 0 ? one : other;
      sum = fused(everywhere<l, X>(x), columns_[1 + q + l], sum);
    });
    x = n > 1 ? one + other : one;
  }

  template <class Body>
  KELMAN_INLINE static void each_entry(Body&& body) noexcept {
    [&]<int... l>(std::integer_sequence<int, l...>) {
      (body(std::integral_constant<int, l>{}), ...);
    }(std::make_integer_sequence<int, n>{});
  }

 private:
  /// The coefficients as columns: of 1, s and x_{k-1}.
  [[gnu::cold, gnu::noinline]] void turn() noexcept {
    for (Index l = 0; l < 1 + q_ + n; ++l) {
      for (int i = 0; i < n; ++i) {
        const T value = l == 0 ? g[i] : (l <= q_ ? G_[i * q_ + l - 1] : F[i * n + l - 1 - q_]);
        set_lane(columns_[l], i, value);
      }
      for (Index e = 0; e < m_; ++e) {
        const T value = l == 0 ? o_[e] : (l <= q_ ? Z_[e * q_ + l - 1] : -E_[e * n + l - 1 - q_]);
        set_lane(seen_[l * units_ + e / L], static_cast<int>(e % L), value);
      }
    }
  }

  /// x before the measurement, A x_{k-1} + B u + b, as coefficients.
  [[gnu::cold, gnu::noinline]] void transition(const Step& step) noexcept {
    std::copy_n(step.A, n * n, F);
    std::fill_n(G_, n * q_, T(0));
    for (int i = 0; i < n; ++i) {
      g[i] = step.b != nullptr ? step.b[i] : T(0);
      for (Index l = 0; l < step.p_drive; ++l) {
        G_[i * q_ + m_ + step.p_direct + l] = step.B[i * step.p_drive + l];
      }
    }
  }

  /// y = L⁻¹(z - c - D u) as coefficients.
  [[gnu::cold, gnu::noinline]] void data_rows(const Step& step) noexcept {
    const Index width = n + q_ + 1;
    for (Index e = 0; e < m_; ++e) {
      T* const row = rows_ + e * width;
      std::fill_n(row, width, T(0));
      row[n + e] = T(1);
      for (Index l = 0; l < step.p_direct; ++l) {
        row[n + m_ + l] = -step.D[e * step.p_direct + l];
      }
      row[n + q_] = step.c != nullptr ? -step.c[e] : T(0);
      for (Index l = 0; step.mix != nullptr && l < e; ++l) {
        for (Index at = 0; at < width; ++at) {
          row[at] = fused(-step.mix[e * m_ + l], rows_[l * width + at], row[at]);
        }
      }
    }
  }

  [[nodiscard]] T& coefficient(int i, Index l) noexcept {
    return l < n ? F[i * n + l] : (l < n + q_ ? G_[i * q_ + (l - n)] : g[i]);
  }

  /// Finds w with |D⁻¹ F^w D| <= 2^-64, D the standard deviations before a measurement, by squaring and then bisection.
  [[gnu::cold, gnu::noinline]] void forget() noexcept {
    std::copy_n(F, n * n, powers_);
    int top = 0;
    while (!gone(powers_ + top * n * n)) {
      if (++top == most_powers) {
        memory_length_ = 0;
        return;
      }
      multiply(powers_ + (top - 1) * n * n, powers_ + (top - 1) * n * n, powers_ + top * n * n);
    }
    // the largest power that is not gone, bit by bit
    T known[n * n];
    T tried[n * n];
    Index length = 0;
    for (int bit = top - 1; bit >= 0; --bit) {
      if (length == 0) {
        std::copy_n(powers_ + bit * n * n, n * n, tried);
      } else {
        multiply(known, powers_ + bit * n * n, tried);
      }
      if (!gone(tried)) {
        std::copy_n(tried, n * n, known);
        length += Index(1) << bit;
      }
    }
    memory_length_ = length + 1;
  }

  [[gnu::cold, gnu::noinline]] static void multiply(const T* a, const T* b, T* out) noexcept {
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < n; ++j) {
        T total(0);
        for (int l = 0; l < n; ++l) {
          total = fused(a[i * n + l], b[l * n + j], total);
        }
        out[i * n + j] = total;
      }
    }
  }

  [[nodiscard, gnu::cold, gnu::noinline]] bool gone(const T* power) const noexcept {
    constexpr T rounding = T(5.421010862427522e-20);  // 2^-64
    T largest(0);
    for (int i = 0; i < n; ++i) {
      T total(0);
      for (int j = 0; j < n; ++j) {
        total += std::abs(power[i * n + j]) * std::sqrt(P_pred[lanes::entry(j, j)]);
      }
      const T deviation = std::sqrt(P_pred[lanes::entry(i, i)]);
      largest = std::max(largest, total == T(0) ? T(0) : total / deviation);
    }
    return largest <= rounding;  // false for NaN
  }

  static constexpr int most_powers = 15;  // a memory of up to 2^14 steps

  Index m_;
  Index q_;
  T* G_;
  T* Z_;
  T* E_;
  T* o_;
  T* rows_;
  T* powers_;
  X* columns_;
  Index units_;
  Unit* seen_;
  bool ready_ = false;
  Index memory_length_ = 0;
};

/// One step of the pieces of a series side by side: x <- F x + G s + g; returns w'w.
template <int n, Lanes V, Real T>
KELMAN_INLINE V advance(const Steady<n, T>& c, const V* s, V (&x)[n]) noexcept {
  V quadratic = V(T(0));
  const Index m = c.m();
  const Index q = c.q();
  for (Index e = 0; e < m; ++e) {
    V w = V(c.o()[e]);
    for (Index l = 0; l < q; ++l) {
      w = fused(c.Z()[e * q + l], s[l], w);
    }
    const T* const E = c.E() + e * n;
    V seen = V(E[0]) * x[0];
    KELMAN_UNROLL
    for (int l = 1; l < n; ++l) {
      seen = fused(E[l], x[l], seen);
    }
    w = w - seen;
    quadratic = fused(w, w, quadratic);
  }
  V next[n];
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    next[i] = V(c.g[i]);
  }
  for (Index l = 0; l < q; ++l) {
    KELMAN_UNROLL
    for (int i = 0; i < n; ++i) {
      next[i] = fused(c.G()[i * q + l], s[l], next[i]);
    }
  }
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    KELMAN_UNROLL
    for (int l = 0; l < n; ++l) {
      next[i] = fused(c.F[i * n + l], x[l], next[i]);
    }
  }
  KELMAN_UNROLL
  for (int i = 0; i < n; ++i) {
    x[i] = next[i];
  }
  return quadratic;
}

}  // namespace kelman::linear::single
