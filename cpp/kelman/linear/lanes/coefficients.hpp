// SPDX-License-Identifier: BSD-3-Clause
// The model of a group of series, laid out for the recursions over lanes.
//
// A lane has its own model, or that of all: one kernel for both. Where R = L D L' is not diagonal the rows are
// uncorrelated once, as H~ = L⁻¹ H, r = diag D; then
//   z~ = L⁻¹ (z - c - D u)                                                 (m)
#pragma once

#include <algorithm>

#include "kelman/core/pack.hpp"
#include "kelman/core/workspace.hpp"
#include "kelman/linalg/ldl.hpp"
#include "kelman/linear/problem.hpp"

namespace kelman::linear::lanes {

/// The coefficients of one step, row by row; null where the model has no such part.
template <Lanes V>
struct Step {
  V* A = nullptr;    ///< (n×n)
  V* Q = nullptr;    ///< of the transition into the step (n×n)
  V* H = nullptr;    ///< H~ (m×n)
  V* r = nullptr;    ///< (m)
  V* mix = nullptr;  ///< L (m×m), null if R is diagonal
  V* B = nullptr;    ///< (n×p)
  V* b = nullptr;    ///< (n)
  V* D = nullptr;    ///< (m×p)
  V* c = nullptr;    ///< (m)
};

/// Coefficients of one group of series at a time; one object per thread.
template <Lanes V>
class Coefficients {
 public:
  using Scalar = scalar_of<V>;
  static constexpr int W = kelman::lanes<V>;

  [[gnu::cold, gnu::noinline]] Coefficients(const FilterProblem<Scalar>& problem, bool mixed, Workspace& memory)
      : problem_(problem), n_(problem.model.dims.n), m_(problem.model.dims.m), p_(problem.model.dims.p) {
    const Model<Scalar>& model = problem.model;
    still_ = measures_the_same() && model.A.constant() && model.Q.constant() && model.B.constant() &&
             model.b.constant() && model.D.constant() && model.c.constant();
    step_.A = memory.take<V>(n_ * n_);
    step_.Q = memory.take<V>(n_ * n_);
    step_.H = memory.take<V>(m_ * n_);
    step_.r = memory.take<V>(m_);
    step_.mix = mixed ? memory.take<V>(m_ * m_) : nullptr;
    step_.B = problem.model.B ? memory.take<V>(n_ * p_) : nullptr;
    step_.b = problem.model.b ? memory.take<V>(n_) : nullptr;
    step_.D = problem.model.D ? memory.take<V>(m_ * p_) : nullptr;
    step_.c = problem.model.c ? memory.take<V>(m_) : nullptr;
    rows_ = memory.take<Scalar>(m_ * n_);
    noise_ = memory.take<Scalar>(m_);
    given_ = memory.take<Scalar>(m_ * m_);
    lower_ = memory.take<Scalar>(m_ * m_);
    scratch_ = memory.take<Scalar>(m_ * m_);
  }

  /// Takes the group whose lane l is series `series[l]`.
  void load(const Index* series) noexcept {
    series_ = series;
    fresh_ = true;
  }

  /// The coefficients of step k; valid until the next call. Q is that of step k - 1.
  const Step<V>& at(Index k) noexcept {
    if (fresh_ || !still_) {
      renew(k);
    }
    return step_;
  }

  /// Whether L, H~ and r are the same at all times.
  [[nodiscard]] bool measures_the_same() const noexcept {
    return problem_.model.H.constant() && problem_.model.R.constant();
  }

 private:
  [[gnu::noinline]] void renew(Index k) noexcept {
    const Model<Scalar>& model = problem_.model;
    fill(model.A, k, n_ * n_, step_.A);
    fill(model.Q, std::max<Index>(k - 1, 0), n_ * n_, step_.Q);
    fill(model.B, k, n_ * p_, step_.B);
    fill(model.b, k, n_, step_.b);
    fill(model.D, k, m_ * p_, step_.D);
    fill(model.c, k, m_, step_.c);
    if (fresh_ || !measures_the_same()) {
      for (int l = 0; l < W; ++l) {
        whiten(series_[l], k, l);
      }
    }
    fresh_ = false;
  }

  void fill(const Field<const Scalar>& field, Index k, Index count, V* out) noexcept {
    if (!field || (field.constant() && !fresh_)) {
      return;
    }
    for (int l = 0; l < W; ++l) {
      const Scalar* const from = field.at(series_[l], k);
      for (Index e = 0; e < count; ++e) {
        set_lane(out[e], l, from[e]);
      }
    }
  }

  void whiten(Index i, Index k, int l) noexcept {
    std::copy_n(problem_.model.H.at(i, k), m_ * n_, rows_);
    const Scalar* const R = problem_.model.R.at(i, k);
    for (Index j = 0; j < m_; ++j) {
      noise_[j] = R[j * m_ + j];
    }
    if (step_.mix != nullptr) {
      std::copy_n(R, m_ * m_, given_);
      static_cast<void>(linalg::ldl(m_, given_, m_, lower_, m_, noise_, scratch_));  // the caller looked at R
      linalg::solve_unit_lower(m_, n_, lower_, m_, rows_, n_);
      for (Index e = 0; e < m_ * m_; ++e) {
        set_lane(step_.mix[e], l, lower_[e]);
      }
    }
    for (Index e = 0; e < m_ * n_; ++e) {
      set_lane(step_.H[e], l, rows_[e]);
    }
    for (Index j = 0; j < m_; ++j) {
      set_lane(step_.r[j], l, noise_[j]);
    }
  }

  FilterProblem<Scalar> problem_;
  Index n_;
  Index m_;
  Index p_;
  const Index* series_ = nullptr;
  bool fresh_ = true;  // nothing of this group is laid out yet
  bool still_;         // every coefficient is the same at all times
  Step<V> step_;
  Scalar* rows_;
  Scalar* noise_;
  Scalar* given_;
  Scalar* lower_;
  Scalar* scratch_;
};

}  // namespace kelman::linear::lanes
