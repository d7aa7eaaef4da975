// SPDX-License-Identifier: BSD-3-Clause
// The part of the gradient that does not depend on the data: that of a series at rest, whose innovations are zero.
//
//   dA -= N A P_f     dQ -= N/2     dH -= G P     dR -= N_vv/2     dP -= N/2
//
// with N and G = N_vx, N_vv of adjoint.hpp, and P before, P_f after a measurement. It is the same for all series that
// share model, start and gaps, so that it is computed once. Ordinary steps of few states go by a recursion of their
// own, and where N has settled as well as the covariances, a step adds what the one after it added; others, and the
// start, by adjoint.hpp.
#pragma once

#include "kelman/linear/form_passage.hpp"
#include "kelman/linear/gradient_terms.hpp"

namespace kelman::linear::shared {

/// What ordinary steps go back with; matrices are whole, row by row.
struct Precision {
  double* N = nullptr;        ///< (n×n)
  double* G = nullptr;        ///< N_vx of a measurement (m×n)
  double* noise = nullptr;    ///< N_vv (m×m)
  double* by_A = nullptr;     ///< sum of N A P_f (n×n)
  double* by_Q = nullptr;     ///< sum of N (n×n)
  double* by_H = nullptr;     ///< sum of G P (m×n)
  double* by_R = nullptr;     ///< sum of N_vv (m×m)
  double* product = nullptr;  ///< scratch (n×n)
};

/// C = A B, or C += A B: rows of n numbers, which the compiler keeps in registers.           (rows×n) = (rows×n)(n×n)
template <int n, bool add>
inline void multiply_rows(Index rows, const double* A, const double* B, double* C) noexcept {
  for (Index i = 0; i < rows; ++i) {
    double row[n];
    for (int j = 0; j < n; ++j) {
      row[j] = add ? C[i * n + j] : 0.0;
    }
    for (int l = 0; l < n; ++l) {
      for (int j = 0; j < n; ++j) {
        row[j] = fused(A[i * n + l], B[l * n + j], row[j]);
      }
    }
    for (int j = 0; j < n; ++j) {
      C[i * n + j] = row[j];
    }
  }
}

/// Back over the transition with A from P_f.
template <int n>
void transition_back_over(const double* A, const double* filtered, const Precision& to) noexcept {
  for (int l = 0; l < n * n; ++l) {
    to.by_Q[l] += to.N[l];
  }
  double* const NA = to.product;
  multiply_rows<n, false>(n, to.N, A, NA);
  multiply_rows<n, true>(n, NA, filtered, to.by_A);
  for (int j = 0; j < n; ++j) {  // A' (N A)
    double row[n] = {};
    for (int i = 0; i < n; ++i) {
      for (int l = 0; l < n; ++l) {
        row[l] = fused(A[i * n + j], NA[i * n + l], row[l]);
      }
    }
    for (int l = 0; l < n; ++l) {
      to.N[j * n + l] = row[l];
    }
  }
  for (int i = 0; i < n; ++i) {  // an asymmetry would grow where A is not stable
    for (int j = 0; j < i; ++j) {
      to.N[j * n + i] = to.N[i * n + j];
    }
  }
}

/// Back over the components of a measurement; leaves G and N_vv of the components used.
///   q = N K,  D = 1/f + K'q,  N <- N - q h' - h q' + D h h'
///   later components: t = K'g,  N_vv = -t,  g <- g - t h;  this one: g = D h - q,  N_vv = D
template <int n>
void measurement_back_over(const Slot<double>& slot, const Precision& to) noexcept {
  const Index count = slot.head->count;
  for (Index e = count; e-- > 0;) {
    const double* const h = slot.rows + e * n;
    const double* const K = slot.gains + e * n;
    double q[n] = {};
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < n; ++j) {
        q[j] = fused(K[i], to.N[i * n + j], q[j]);
      }
    }
    double D = 1.0 / slot.variance[e];
    for (int i = 0; i < n; ++i) {
      D = fused(K[i], q[i], D);
    }
    for (Index later = e + 1; later < count; ++later) {
      double* const g = to.G + later * n;
      double t = 0.0;
      for (int i = 0; i < n; ++i) {
        t = fused(K[i], g[i], t);
      }
      for (int i = 0; i < n; ++i) {
        g[i] = fused(-t, h[i], g[i]);
      }
      to.noise[later * count + e] = to.noise[e * count + later] = -t;
    }
    to.noise[e * count + e] = D;
    double* const g = to.G + e * n;
    for (int i = 0; i < n; ++i) {
      g[i] = fused(D, h[i], -q[i]);
    }
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < n; ++j) {
        to.N[i * n + j] = fused(h[i], g[j], fused(-q[i], h[j], to.N[i * n + j]));
      }
    }
  }
}

/// The above for one size.
struct FixedSize {
  void (*transition)(const double* A, const double* filtered, const Precision& to) noexcept;
  void (*measurement)(const Slot<double>& slot, const Precision& to) noexcept;
  void (*add_product)(Index rows, const double* A, const double* B, double* C) noexcept;
};
template <int n>
inline constexpr FixedSize of_size{transition_back_over<n>, measurement_back_over<n>, multiply_rows<n, true>};
[[nodiscard]] inline FixedSize fixed_size(Index n) noexcept {
  constexpr FixedSize sizes[] = {of_size<1>, of_size<2>, of_size<3>, of_size<4>,
                                 of_size<5>, of_size<6>, of_size<7>, of_size<8>};
  return sizes[n - 1];
}

/// The derivatives of a series at rest.
template <Form F>
class Information {
 public:
  /// `passage` has taken the only series of `problem` forward; `wanted` are the fields that are kept.
  Information(const FilterProblem<double>& problem, const GradientResult<double>& wanted, FormPassage<F>& passage)
      : problem_(problem),
        n_(problem.model.dims.n),
        m_(problem.model.dims.m),
        passage_(passage),
        adjoint_(problem.model, problem.start.columns, memory_),
        terms_(problem, adjoint_, memory_),
        sums_(problem, wanted, memory_),
        mean_(memory_.take<double>(n_)) {
    now_.G = memory_.take<double>(m_ * n_);
    now_.noise = memory_.take<double>(m_ * m_);
    now_.product = memory_.take<double>(n_ * n_);
    now_.by_A = memory_.take<double>(2 * added());  // the sums and N, and what they were a step before
    now_.by_Q = now_.by_A + n_ * n_;
    now_.by_H = now_.by_Q + n_ * n_;
    now_.by_R = now_.by_H + m_ * n_;
    now_.N = now_.by_R + m_ * m_;
    adjoint_.clear();
  }

  [[nodiscard]] GradientSums& sums() noexcept { return sums_; }

  /// Back over steps [first, last) of `length`, which the passage holds.
  void back(Index first, Index last, Index length) noexcept {
    const Index ordinary = std::clamp(first + passage_.diffuse_steps().count(), first, last);
    Index k = last;
    if (n_ <= 8 && ordinary < last) {
      few(ordinary, last, length);
      k = ordinary;
    }
    while (k-- > first) {
      one(k, length);
    }
    if (first == 0) {
      start();
    }
  }

 private:
  /// Ordinary steps [first, last) of up to 8 states.
  void few(Index first, Index last, Index length) noexcept {
    const FixedSize fixed = fixed_size(n_);
    const GradientResult<double>& to = sums_.fields;
    const Index n = n_;
    for (Index k = last; k-- > first;) {
      const auto step = passage_.step(k);
      const Index same = k + 1 < length ? std::max(passage_.first_like(k), first) : k;
      if (same < k) {
        std::copy_n(now_.by_A, added(), now_.by_A + added());
      }
      if (k + 1 < length) {
        fixed.transition(problem_.model.A.at(0, k + 1), step.P_f, now_);
        give(to.A, k + 1, false, n * n, -1.0, now_.by_A);
        give(to.Q, k, false, n * n, -0.5, now_.by_Q);
      }
      const Slot<double> slot = passage_.slot(k);
      fixed.measurement(slot, now_);
      const Index count = slot.head->count;
      if (slot.head->mixed) {
        correlate(slot);
      }
      if (count == m_) {
        fixed.add_product(m_, now_.G, step.P, now_.by_H);
        for (Index l = 0; l < m_ * m_; ++l) {
          now_.by_R[l] += now_.noise[l];
        }
      } else {
        for (Index e = 0; e < count; ++e) {
          const Index row = slot.component[e];
          fixed.add_product(1, now_.G + e * n, step.P, now_.by_H + row * n);
          for (Index l = 0; l < count; ++l) {
            now_.by_R[row * m_ + slot.component[l]] += now_.noise[e * count + l];
          }
        }
      }
      give(to.H, k, false, m_ * n, -1.0, now_.by_H);
      give(to.R, k, false, m_ * m_, -0.5, now_.by_R);
      if (same < k && settled(n, now_.N, n, now_.N + added(), n)) {
        repeat(k - same);
        k = same;
      }
    }
    give(to.A, 0, true, n * n, -1.0, now_.by_A);
    give(to.Q, 0, true, n * n, -0.5, now_.by_Q);
    give(to.H, 0, true, m_ * n, -1.0, now_.by_H);
    give(to.R, 0, true, m_ * m_, -0.5, now_.by_R);
    resume();
  }

  /// Numbers that a step changes: the sums, and N behind them.
  [[nodiscard]] Index added() const noexcept { return 3 * n_ * n_ + m_ * n_ + m_ * m_; }

  /// Adds to the sums `count` times what the last step added.
  void repeat(Index count) noexcept {
    for (Index l = 0; l < added() - n_ * n_; ++l) {
      now_.by_A[l] += static_cast<double>(count) * (now_.by_A[l] - now_.by_A[l + added()]);
    }
  }

  /// G <- L⁻ᵀ G, N_vv <- L⁻ᵀ N_vv L⁻¹
  [[gnu::cold, gnu::noinline]] void correlate(const Slot<double>& slot) noexcept {
    const Index count = slot.head->count;
    for (Index row = count; row-- > 0;) {
      for (Index e = row + 1; e < count; ++e) {
        const double factor = -slot.mix[e * count + row];
        linalg::axpy(n_, factor, now_.G + e * n_, now_.G + row * n_);
        linalg::axpy(count, factor, now_.noise + e * count, now_.noise + row * count);
      }
    }
    for (Index row = count; row-- > 0;) {
      for (Index e = row + 1; e < count; ++e) {
        for (Index l = 0; l < count; ++l) {
          now_.noise[l * count + row] -= slot.mix[e * count + row] * now_.noise[l * count + e];
        }
      }
    }
  }

  /// Adds factor times the sums to entry k of the field, if it varies in time or this is the `last` time; clears them.
  [[gnu::noinline]] static void give(const Field<double>& field, Index k, bool last, Index count, double factor,
                                     double* sums) noexcept {
    if (field && field.constant() == last) {
      linalg::axpy(count, factor, sums, field.at(0, k));
      std::fill_n(sums, count, 0.0);
    }
  }

  /// N of ordinary steps becomes that of the adjoint.
  [[gnu::cold, gnu::noinline]] void resume() noexcept {
    for (Index l = 0; l < n_ * n_; ++l) {
      now_.product[l] = -0.5 * now_.N[l];
    }
    adjoint_.resume(mean_, now_.product);
  }

  /// Back over one step of any kind.
  [[gnu::cold, gnu::noinline]] void one(Index k, Index length) noexcept {
    if (k + 1 < length) {
      const Known<double> before = passage_.before(0, k + 1);
      terms_.transition(0, k + 1, before, sums_.fields.Q, k, sums_);
      adjoint_.transition(problem_.model.A.at(0, k + 1), before.rank);
    }
    const bool moves = k > 0 || problem_.start.before_first;
    const Known<double> before = passage_.before(0, k);
    const auto kept = passage_.step(k);
    const double* const V = before.rank > 0 && moves ? terms_.moved(0, k, before) : before.V;
    adjoint_.measurement(passage_.slot(k), passage_.diffuse(k), kept.v);
    terms_.measurement(0, k, passage_.slot(k), {kept.x, kept.P, nullptr, V, before.rank}, sums_);
  }

  [[gnu::cold, gnu::noinline]] void start() noexcept {
    const Known<double> before = passage_.before(0, 0);
    if (problem_.start.before_first) {
      terms_.transition(0, 0, before, sums_.fields.noise_cov, 0, sums_);
      adjoint_.transition(problem_.model.A.at(0, 0), before.rank);
    }
    terms_.start(before, mean_, sums_);
  }

  FilterProblem<double> problem_;
  Index n_;
  Index m_;
  FormPassage<F>& passage_;
  Workspace memory_;
  Adjoint<double> adjoint_;
  GradientTerms<double> terms_;
  GradientSums sums_;
  Precision now_;
  double* mean_;  // of a series at rest: zero
};

}  // namespace kelman::linear::shared
