// SPDX-License-Identifier: BSD-3-Clause
// Components without noise: what they determine is known exactly, and has to stay so in rounded arithmetic.
//
// After z_j = h x (r = 0) the covariance satisfies P h = 0. Rounding leaves noise there, of unknown size once P itself
// is no larger, and the next component that the model predicts exactly would look like information. So from the first
// component without noise on, E bounds the rounding of P. It propagates as covariances do, for to first order the
// error of P does:
//
//   predict    E <- T E T' + u diag P          T = A, or [A, I, 0] on (x, w, v)
//   update     E <- L (E + u diag P) L' + u diag P        L = I - K h', u a few dozen machine epsilons
//
// A component whose variance is no more than h'E h is predicted exactly; a variance no larger than its entry of E is 0.
#pragma once

#include <cmath>

#include "kelman/core/workspace.hpp"
#include "kelman/linalg/product.hpp"
#include "kelman/linear/tape.hpp"

namespace kelman::linear {

/// M = P h for the row (h) of a model without S, or (h, 0, e_j) of one with; returns h'M.      (s) = (s×s)(s)
template <Real Scalar>
[[nodiscard]] Scalar project(Index n, bool joint, const Scalar* P, Index ldp, const Scalar* h, Index e, Index size,
                             Scalar* M) noexcept {
  linalg::symmetric_matvec(size, n, P, ldp, h, M);
  if (!joint) {
    return linalg::dot(n, h, M);
  }
  linalg::add_column(size, 2 * n + e, P, ldp, M);
  return linalg::dot(n, h, M) + M[2 * n + e];
}

/// Keeps account of what is known exactly. Lower triangles only, as in symmetric.hpp.
template <Real Scalar>
class Exact {
 public:
  Exact(const Model<Scalar>& model, Workspace& memory)
      : n_(model.dims.n),
        s_(model.size()),
        joint_(model.joint()),
        E_(memory.take<Scalar>(s_ * s_)),
        before_(memory.take<Scalar>(s_)),
        along_(memory.take<Scalar>(s_)),
        basis_(memory.take<Scalar>(model.dims.m * n_)),
        y_(memory.take<Scalar>(n_)),
        g_(memory.take<Scalar>(n_)),
        work1_(memory.take<Scalar>(n_ * n_)),
        work2_(memory.take<Scalar>(n_ * n_)) {}

  /// What is relative to the size of its terms below this is rounding.
  [[nodiscard]] Scalar unit() const noexcept { return static_cast<Scalar>(20 * (n_ + 2)) * Precision<Scalar>::epsilon; }

  /// Starts without E (null), or with one that was kept (s×s).
  void resume(const Scalar* kept) noexcept {
    tracking_ = kept != nullptr;
    if (tracking_) {
      std::copy_n(kept, s_ * s_, E_);
    }
  }

  /// E (s×s), or null as long as every component had noise.
  [[nodiscard]] const Scalar* kept() const noexcept { return tracking_ ? E_ : nullptr; }

  /// Back over the transition with A; P (row length ldp) is the new covariance.                 (n×n)
  void predict(const Scalar* A, const Scalar* P, Index ldp) noexcept {
    if (!tracking_) {
      return;
    }
    linalg::mirror(joint_ ? 2 * n_ : n_, E_, s_);
    linalg::multiply(n_, n_, n_, A, n_, E_, s_, work1_, n_);  // A E_xx
    if (joint_) {
      // work1 = A E_xx + E_wx, work2 = A E_xw + E_ww; E = work1 A' + work2
      linalg::multiply(n_, n_, n_, A, n_, E_ + n_, s_, work2_, n_);
      for (Index row = 0; row < n_; ++row) {
        linalg::axpy(n_, Scalar(1), E_ + (n_ + row) * s_, work1_ + row * n_);
        linalg::axpy(n_, Scalar(1), E_ + (n_ + row) * s_ + n_, work2_ + row * n_);
      }
    }
    for (Index row = 0; row < n_; ++row) {
      for (Index col = 0; col <= row; ++col) {
        E_[row * s_ + col] = linalg::dot(n_, work1_ + row * n_, A + col * n_);
        if (joint_) {
          E_[row * s_ + col] += work2_[row * n_ + col];
        }
      }
    }
    blur(n_, P, ldp);
  }

  /// Before the components of a step: `exact` if one of them has no noise. P is the joint prior covariance.
  void begin(bool exact, Index size, const Scalar* P, Index ldp) noexcept {
    for (Index row = 0; row < size; ++row) {
      before_[row] = P[row * ldp + row];
    }
    if (!exact && !tracking_) {
      return;
    }
    // E starts as the rounding of P; with S the blocks of w and v join each step
    const Index known = tracking_ ? n_ : 0;
    for (Index row = 0; row < size; ++row) {
      Scalar* const e = E_ + row * s_;
      std::fill(e + (row < known ? known : 0), e + size, Scalar(0));
      if (row >= known) {
        e[row] = unit() * before_[row];
      }
    }
    tracking_ = true;
  }

  /// Rounding of P, of which an update is about to be computed.
  void blur(Index size, const Scalar* P, Index ldp) noexcept {
    for (Index row = 0; tracking_ && row < size; ++row) {
      E_[row * s_ + row] = fused(unit(), std::abs(P[row * ldp + row]), E_[row * s_ + row]);
    }
  }

  /// Over a component with row h and gain K (s), which gave P.
  void update(const Scalar* h, Index e, Index size, const Scalar* K, const Scalar* P, Index ldp) noexcept {
    if (tracking_) {
      const Scalar q = project(n_, joint_, E_, s_, h, e, size, along_);
      linalg::update_two(size, q, K, along_, E_, s_);
      blur(size, P, ldp);
    }
  }

  /// The finite part grows when a diffuse direction is determined: so does what its rounding is relative to.
  void raise(Index size, const Scalar* P, Index ldp) noexcept {
    for (Index row = 0; row < size; ++row) {
      before_[row] = std::max(before_[row], P[row * ldp + row]);
    }
  }

  /// sum_i |h_i| sqrt(P_ii) with P before the step: an upper bound of the standard deviation of h x.
  [[nodiscard]] Scalar deviation(const Scalar* h) const noexcept {
    Scalar total(0);
    for (Index row = 0; row < n_; ++row) {
      total = fused(std::abs(h[row]), std::sqrt(std::max(before_[row], Scalar(0))), total);
    }
    return total;
  }

  /// Whether the variance f of a component without noise is rounding; `deviation` is that of h.
  [[nodiscard]] bool negligible(Scalar f, const Scalar* h, Index e, Index size, Scalar deviation) noexcept {
    const Scalar blurred = project(n_, joint_, E_, s_, h, e, size, along_);
    return f <= std::max(blurred, Scalar(0)) + unit() * deviation * deviation;
  }

  /// After the components of a step: P h = 0 for the rows of those without noise (`noise` (count) is zero), which
  /// rounding in small f has blurred, and variances that are rounding become zero.
  void settle(const Slot<Scalar>& slot, const Scalar* noise, Scalar* P, Index ldp, Scalar* M) noexcept {
    if (!tracking_ && !joint_) {
      return;
    }
    const Index size = slot.head->size;
    Index known = 0;
    for (Index e = 0; e < slot.head->count; ++e) {
      if (noise[e] == Scalar(0) && slot.use[e] != Use::exact) {
        known += orthonormal(slot.rows + e * n_, known) ? 1 : 0;
      }
    }
    for (Index c = 0; c < known; ++c) {
      clear_direction(basis_ + c * n_, size, P, ldp, M);
    }
    for (Index row = 0; row < (joint_ ? 2 * n_ : n_); ++row) {
      if (P[row * ldp + row] <= std::max(unit() * before_[row], tracking_ ? E_[row * s_ + row] : Scalar(0))) {
        for (Index l = 0; l < size; ++l) {
          P[row * ldp + l] = Scalar(0);
          P[l * ldp + row] = Scalar(0);
        }
      }
    }
  }

 private:
  /// Makes the row h, in units of the standard deviations before the step, orthogonal to the `known` rows of the basis,
  /// twice, and appends it with length 1. False if nothing is left of it.
  [[nodiscard]] bool orthonormal(const Scalar* h, Index known) noexcept {
    Scalar* const q = basis_ + known * n_;
    for (Index l = 0; l < n_; ++l) {
      q[l] = h[l] * std::sqrt(before_[l]);
    }
    Scalar length(0);
    for (int pass = 0; pass < 3; ++pass) {
      length = std::sqrt(linalg::dot(n_, q, q));
      if (!(length > Scalar(0))) {
        return false;
      }
      for (Index l = 0; l < n_; ++l) {
        q[l] /= length;
      }
      for (Index c = 0; c < known && pass < 2; ++c) {
        linalg::axpy(n_, -linalg::dot(n_, q, basis_ + c * n_), basis_ + c * n_, q);
      }
    }
    return true;
  }

  /// P <- (I - g y') P (I - y g'), g = D q, y = D⁻¹ q, D the standard deviations before the step: then P y = 0.
  void clear_direction(const Scalar* q, Index size, Scalar* P, Index ldp, Scalar* M) noexcept {
    for (Index l = 0; l < n_; ++l) {
      const Scalar deviation = std::sqrt(before_[l]);
      y_[l] = deviation > Scalar(0) ? q[l] / deviation : Scalar(0);
      g_[l] = deviation * q[l];
    }
    linalg::symmetric_matvec(size, n_, P, ldp, y_, M);
    const Scalar rest = linalg::dot(n_, y_, M);
    // P += g g' (y'P y) - g (P y)' - (P y) g'; g is zero beyond x
    for (Index row = 0; row < size; ++row) {
      const Scalar g_row = row < n_ ? g_[row] : Scalar(0);
      for (Index col = 0; col <= row; ++col) {
        const Scalar g_col = col < n_ ? g_[col] : Scalar(0);
        Scalar& entry = P[row * ldp + col];
        entry = fused(rest * g_row, g_col, entry);
        entry = fused(-g_row, M[col], entry);
        entry = fused(-M[row], g_col, entry);
      }
    }
  }

  Index n_;
  Index s_;
  bool joint_;
  bool tracking_ = false;
  Scalar* E_;
  Scalar* before_;
  Scalar* along_;
  Scalar* basis_;
  Scalar* y_;
  Scalar* g_;
  Scalar* work1_;
  Scalar* work2_;
};

}  // namespace kelman::linear
