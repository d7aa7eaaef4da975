// SPDX-License-Identifier: BSD-3-Clause
// The adjoint of the log-likelihood on its way back through time, for gradients.
//
// Let e be the error of the vector (x, v), or (x, w, v) with S, before the components of a step. As in backward.hpp,
// r = sum of (dv_i/de)' v_i / f_i over this and the later components and N = Cov r, but with the measurement's noise in
// the vector: the row of component e is (h, e_e) or (h, 0, e_e). Then for a mean m and a covariance C of that vector
//
//   d loglik / dm = r                              d loglik / dC = (r r' - N) / 2
//
// and for a map y = T s on the way,  d loglik / dT = r E[s]' + (r r' - N) T Cov s  with r and N of y. A diffuse part
// kappa V V' of the covariance enters with r = r₀ + r₁/kappa and N = N₀ + N₁/kappa: V'r₀ = 0 and N₀V = 0, so that
//
//   (r r' - N) (P + kappa V V')  ->  (r₀r₀' - N₀) P + (r₀r₁' - N₁) V V'      as kappa -> infinity.
//
// Nothing is inverted: singular Q, R and P need no special case.
// References: Koopman & Shephard 1992; de Jong 1989; Durbin & Koopman 2012, 5.3, 7.3.3.
#pragma once

#include "kelman/linalg/product.hpp"
#include "kelman/linear/tape.hpp"

namespace kelman::linear {

template <Real Scalar>
class Adjoint {
 public:
  Adjoint(const Model<Scalar>& model, Workspace& memory)
      : model_(model),
        n_(model.dims.n),
        c_(model.joint() ? 2 * n_ : n_),
        s_(c_ + model.dims.m),
        h_(memory.take<Scalar>(s_)),
        K_(memory.take<Scalar>(s_)),
        K1_(memory.take<Scalar>(s_)),
        a_(memory.take<Scalar>(s_)),
        b_(memory.take<Scalar>(s_)),
        left_(memory.take<Scalar>(n_ * n_)) {
    for (int power = 0; power < 2; ++power) {
      r_[power] = memory.take<Scalar>(s_);
      N_[power] = memory.take<Scalar>(s_ * s_);
    }
  }

  [[nodiscard]] const Scalar* r(int power) const noexcept { return r_[power]; }  ///< r₀ or r₁ (s)
  [[nodiscard]] const Scalar* N(int power) const noexcept { return N_[power]; }  ///< N₀ or N₁ (s×s), both triangles
  [[nodiscard]] Index ld() const noexcept { return s_; }                         ///< row length of N
  [[nodiscard]] Index noise() const noexcept { return c_; }                      ///< where v begins in the vector

  /// Nothing comes later.
  void clear() noexcept {
    for (int power = 0; power < 2; ++power) {
      std::fill_n(r_[power], s_, Scalar(0));
      std::fill_n(N_[power], s_ * s_, Scalar(0));
    }
  }

  /// What comes later gave the derivatives r by the mean of x (n) and G = (r r' - N) / 2 by its covariance (n×n); there
  /// is no S, and nothing is diffuse any more.
  void resume(const Scalar* r, const Scalar* G) noexcept {
    clear();
    std::copy_n(r, n_, r_[0]);
    for (Index row = 0; row < n_; ++row) {
      for (Index col = 0; col < n_; ++col) {
        N_[0][row * s_ + col] = fused(r[row], r[col], Scalar(-2) * G[row * n_ + col]);
      }
    }
  }

  /// Back over all components of a step with innovations v (count). `diffuse` is null after the diffuse phase.
  [[gnu::noinline]] void measurement(const Slot<Scalar>& slot, const DiffuseSlot<Scalar>* diffuse,
                                     const Scalar* v) noexcept {
    const Index s = c_ + slot.head->count;
    const int powers = diffuse != nullptr ? 2 : 1;
    for (Index e = slot.head->count; e-- > 0;) {
      if (slot.use[e] == Use::exact) {
        continue;
      }
      std::copy_n(slot.rows + e * n_, n_, h_);
      std::fill(h_ + n_, h_ + s, Scalar(0));
      h_[c_ + e] = Scalar(1);
      widen(slot.gains + e * model_.size(), slot.head->size, s, K_);
      const Scalar inverse = Scalar(1) / slot.variance[e];
      if (slot.use[e] == Use::diffuse) {
        widen(diffuse->gains + e * model_.size(), slot.head->size, s, K1_);
        diffuse_component(s, v[e], inverse);
        continue;
      }
      if (powers == 2) {
        ordinary_component(s, 1, Scalar(0), Scalar(0));
      }
      ordinary_component(s, 0, v[e] * inverse, inverse);
    }
    for (int power = 0; power < powers; ++power) {
      linalg::mirror(s, N_[power], s_);
    }
  }

  /// Back over the transition with A (n×n); afterwards the vector is (x) or (x, w), and v has no part in it.
  [[gnu::noinline]] void transition(const Scalar* A, bool diffuse) noexcept {
    for (int power = 0; power < (diffuse ? 2 : 1); ++power) {
      back(A, r_[power], N_[power]);
    }
  }

 private:
  /// K (size) of the tape with zeros for what it leaves out (s).
  static void widen(const Scalar* K, Index size, Index s, Scalar* out) noexcept {
    std::copy_n(K, size, out);
    std::fill(out + size, out + s, Scalar(0));
  }

  /// r <- r + h (v/f - K'r),  N <- L'N L + h h'/f,  L = I - K h'
  void ordinary_component(Index s, int power, Scalar scaled, Scalar inverse) noexcept {
    linalg::axpy(s, scaled - linalg::dot(s, K_, r_[power]), h_, r_[power]);
    linalg::symmetric_matvec(s, s, N_[power], s_, K_, a_);
    linalg::update_two(s, inverse + linalg::dot(s, K_, a_), h_, a_, N_[power], s_);
  }

  /// The same in powers of 1/kappa, with K₀ + K₁/kappa and 1/f = 1/(kappa F) + ...
  void diffuse_component(Index s, Scalar v, Scalar inverse) noexcept {
    linalg::axpy(s, v * inverse - linalg::dot(s, K_, r_[1]) - linalg::dot(s, K1_, r_[0]), h_, r_[1]);
    linalg::axpy(s, -linalg::dot(s, K_, r_[0]), h_, r_[0]);
    linalg::symmetric_matvec(s, s, N_[1], s_, K_, a_);   // N₁K₀
    linalg::symmetric_matvec(s, s, N_[0], s_, K1_, b_);  // N₀K₁
    const Scalar alpha = linalg::dot(s, K_, a_) + Scalar(2) * linalg::dot(s, K_, b_) + inverse;
    linalg::axpy(s, Scalar(1), b_, a_);
    linalg::update_two(s, alpha, h_, a_, N_[1], s_);
    linalg::symmetric_matvec(s, s, N_[0], s_, K_, a_);
    linalg::update_two(s, linalg::dot(s, K_, a_), h_, a_, N_[0], s_);
  }

  /// r <- T'r, N <- T'N T with T = A, or [A, I] on (x, w):  [[A'NA, A'N], [NA, N]]; zero for v.
  void back(const Scalar* A, Scalar* r, Scalar* N) noexcept {
    linalg::multiply(n_, n_, n_, N, s_, A, n_, left_, n_);  // N A
    if (model_.joint()) {
      for (Index row = 0; row < n_; ++row) {
        std::copy_n(N + row * s_, n_, N + (n_ + row) * s_ + n_);
      }
      linalg::copy_block(n_, n_, left_, n_, N + n_ * s_, s_);
      linalg::transpose(n_, n_, left_, n_, N + n_, s_);
      std::copy_n(r, n_, r + n_);
    }
    linalg::multiply_symmetric<Scalar>(n_, n_, {A, 1, n_}, left_, n_, {linalg::Into::set, N, s_});
    linalg::mirror(n_, N, s_);
    linalg::matvec_transposed(n_, n_, A, n_, r, a_);
    std::copy_n(a_, n_, r);
    for (Index row = 0; row < s_; ++row) {
      std::fill(N + row * s_ + (row < c_ ? c_ : Index(0)), N + (row + 1) * s_, Scalar(0));
    }
    std::fill(r + c_, r + s_, Scalar(0));
  }

  Model<Scalar> model_;
  Index n_;
  Index c_;
  Index s_;
  Scalar* h_;
  Scalar* K_;
  Scalar* K1_;
  Scalar* a_;
  Scalar* b_;
  Scalar* left_;
  Scalar* r_[2];
  Scalar* N_[2];
};

}  // namespace kelman::linear
