// SPDX-License-Identifier: BSD-3-Clause
// Covariances that have stopped changing.
//
// With constant A, H, Q, R and the same components in every step the covariance before a measurement converges. Once a
// step changes it by rounding only,
//
//   |P_k - P_k-1| <= 4 eps sqrt(P_ii P_jj)     entry by entry, so that the units of the states do not matter,
//
// all steps that follow with the same components have the gains and the covariances of this one. The same test says
// when N of the way back is constant.
#pragma once

#include <algorithm>
#include <limits>

#include "kelman/linalg/vector.hpp"
#include "kelman/linear/forms/form.hpp"
#include "kelman/linear/problem.hpp"

namespace kelman::linear {

/// Whether a covariance S stays what it was `before`, on their lower triangles; in double precision, for squares of
/// small variances underflow in single.                                                                      (n×n)
template <Real Scalar>
[[nodiscard]] bool settled(Index n, const Scalar* S, Index lds, const Scalar* before, Index ldb) noexcept {
  constexpr double epsilon = Precision<Scalar>::epsilon;
  for (Index i = 0; i < n; ++i) {
    const double limit = 16 * epsilon * epsilon * static_cast<double>(S[i * lds + i]);
    Index changed = 0;
    for (Index j = 0; j <= i; ++j) {
      const double change = static_cast<double>(S[i * lds + j]) - static_cast<double>(before[i * ldb + j]);
      const double allowed = limit * static_cast<double>(S[j * lds + j]);
      changed += change * change <= allowed && allowed <= std::numeric_limits<double>::max() ? 0 : 1;
    }
    if (changed > 0) {
      return false;
    }
  }
  return true;
}

/// Whether covariances may settle: the same model at all times, without S, and the caller lets them.
template <Real Scalar>
[[nodiscard]] bool may_settle(const FilterProblem<Scalar>& problem) noexcept {
  const Model<Scalar>& model = problem.model;
  return problem.steady && !problem.careful && !model.joint() && model.A.constant() && model.H.constant() &&
         model.Q.constant() && model.R.constant();
}

/// Tells which steps of a series repeat the one before.
template <Real Scalar>
class Settling {
 public:
  /// `wanted`: whether the caller can do without the covariances before the measurements.
  Settling(const FilterProblem<Scalar>& problem, bool wanted, Workspace& memory)
      : n_(problem.model.dims.n),
        m_(problem.model.dims.m),
        possible_(wanted && may_settle(problem)),
        before_(possible_ ? memory.take<Scalar>(n_ * n_) : nullptr),
        mask_(memory.take<unsigned char>(m_)) {}

  /// Before the first step of a series.
  void clear() noexcept {
    settled_ = false;
    looks_ = false;
  }

  /// Whether it may happen at all.
  [[nodiscard]] bool possible() const noexcept { return possible_; }

  /// Whether the step with the components in `mask` (m) repeats the one before.
  [[nodiscard]] bool repeats(const unsigned char* mask) const noexcept {
    return settled_ && std::equal(mask, mask + m_, mask_);
  }

  /// Takes note of step k, which does not repeat, between its prediction `moments` and its measurement.
  void predicted(Index k, const Moments<Scalar>& moments, const unsigned char* mask) noexcept {
    settled_ = false;
    if (!possible_) {
      return;
    }
    const bool same = std::equal(mask, mask + m_, mask_);
    const bool regular = moments.rank == 0 && moments.rounding == nullptr;
    if (looks_ && same && regular) {
      settled_ = linear::settled(n_, moments.cov, moments.cov_ld, before_, n_);
    }
    std::copy_n(mask, m_, mask_);
    looks_ = regular && k % look_every == look_every - 1;
    if (looks_) {
      linalg::copy_block(n_, n_, moments.cov, moments.cov_ld, before_, n_);
    }
  }

 private:
  static constexpr Index look_every = 4;

  Index n_;
  Index m_;
  bool possible_;
  bool settled_ = false;
  bool looks_ = false;   // whether `before_` is of the last step
  Scalar* before_;       // covariance before a measurement (n×n)
  unsigned char* mask_;  // components of the last step (m)
};

}  // namespace kelman::linear
