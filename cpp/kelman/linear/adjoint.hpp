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
//   (r r' - N) (P + kappa V V')  ->  (r₀r₀' - N₀) P + (r₀q' - W) V'          as kappa -> infinity,
//
// q = V'r₁, W = N₁V. Where a direction is hardly seen r₁ and N₁ are large and these are not, so q and W are carried
// themselves: with V'h = a of a component that determines a direction, V Θ₂ after it, and the recursions of
// backward.hpp
//
//   q <- Θ₂ q + a (v/F - K₁'r₀)        W <- L₀'W Θ₂' + (h/F - L₀'N₀K₁) a'      L₀ = I - K₀h'
//
// W <- L'W at the others, and transitions change nothing of q.
// Nothing is inverted: singular Q, R and P need no special case.
// References: Koopman & Shephard 1992; de Jong 1989; Durbin & Koopman 2012, 5.3, 7.3.3.
#pragma once

#include "kelman/linalg/factor.hpp"
#include "kelman/linalg/product.hpp"
#include "kelman/linear/tape.hpp"

namespace kelman::linear {

template <Real Scalar>
class Adjoint {
 public:
  Adjoint(const Model<Scalar>& model, Index columns, Workspace& memory)
      : model_(model),
        columns_(columns),
        n_(model.dims.n),
        c_(model.joint() ? 2 * n_ : n_),
        s_(c_ + model.dims.m),
        h_(memory.take<Scalar>(s_)),
        K_(memory.take<Scalar>(s_)),
        K1_(memory.take<Scalar>(s_)),
        a_(memory.take<Scalar>(s_)),
        b_(memory.take<Scalar>(s_)),
        left_(memory.take<Scalar>(n_ * n_)),
        r_(memory.take<Scalar>(s_)),
        N_(memory.take<Scalar>(s_ * s_)),
        q_(memory.take<Scalar>(columns)),
        W_(memory.take<Scalar>(s_ * columns)) {}

  [[nodiscard]] const Scalar* r() const noexcept { return r_; }  ///< r₀ (s)
  [[nodiscard]] const Scalar* N() const noexcept { return N_; }  ///< N₀ (s×s), both triangles
  [[nodiscard]] const Scalar* q() const noexcept { return q_; }  ///< V'r₁ (columns)
  [[nodiscard]] const Scalar* W() const noexcept { return W_; }  ///< N₁V (s×columns)
  [[nodiscard]] Index ld() const noexcept { return s_; }         ///< row length of N
  [[nodiscard]] Index noise() const noexcept { return c_; }      ///< where v begins in the vector

  /// Nothing comes later.
  void clear() noexcept {
    std::fill_n(r_, s_, Scalar(0));
    std::fill_n(N_, s_ * s_, Scalar(0));
    std::fill_n(q_, columns_, Scalar(0));
    std::fill_n(W_, s_ * columns_, Scalar(0));
  }

  /// What comes later gave the derivatives r by the mean of x (n) and G = (r r' - N) / 2 by its covariance (n×n); there
  /// is no S, and nothing is diffuse any more.
  void resume(const Scalar* r, const Scalar* G) noexcept {
    clear();
    std::copy_n(r, n_, r_);
    for (Index row = 0; row < n_; ++row) {
      for (Index col = 0; col < n_; ++col) {
        N_[row * s_ + col] = fused(r[row], r[col], Scalar(-2) * G[row * n_ + col]);
      }
    }
  }

  /// Back over all components of a step with innovations v (count). `diffuse` is null after the diffuse phase; V is
  /// then that of the state before, led here by the transition.
  [[gnu::noinline]] void measurement(const Slot<Scalar>& slot, const DiffuseSlot<Scalar>* diffuse,
                                     const Scalar* v) noexcept {
    const Index s = c_ + slot.head->count;
    Index directions = diffuse != nullptr ? diffuse->rank : 0;
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
        diffuse_component(s, ++directions, diffuse->seen + e * columns_, v[e], inverse);
        continue;
      }
      if (directions > 0) {
        project(s, directions);
      }
      linalg::axpy(s, v[e] * inverse - linalg::dot(s, K_, r_), h_, r_);
      sandwich(s, inverse);
    }
    linalg::mirror(s, N_, s_);
    if (diffuse != nullptr && diffuse->led > 0) {
      lead_back(*diffuse, directions, columns_, K_, q_);
      for (Index row = 0; row < s; ++row) {
        lead_back(*diffuse, directions, columns_, K_, W_ + row * columns_);
      }
    }
  }

  /// Back over the transition with A (n×n); afterwards the vector is (x) or (x, w), and v has no part in it. V has
  /// `directions` columns.
  ///   r <- T'r, W <- T'W, N <- T'N T with T = A, or [A, I] on (x, w):  [[A'NA, A'N], [NA, N]]; zero for v.
  [[gnu::noinline]] void transition(const Scalar* A, Index directions) noexcept {
    linalg::multiply(n_, n_, n_, N_, s_, A, n_, left_, n_);  // N A
    if (model_.joint()) {
      for (Index row = 0; row < n_; ++row) {
        std::copy_n(N_ + row * s_, n_, N_ + (n_ + row) * s_ + n_);
      }
      linalg::copy_block(n_, n_, left_, n_, N_ + n_ * s_, s_);
      linalg::transpose(n_, n_, left_, n_, N_ + n_, s_);
      std::copy_n(r_, n_, r_ + n_);
      std::copy_n(W_, n_ * columns_, W_ + n_ * columns_);
    }
    linalg::multiply_symmetric<Scalar>(n_, n_, {A, 1, n_}, left_, n_, {linalg::Into::set, N_, s_});
    linalg::mirror(n_, N_, s_);
    linalg::matvec_transposed(n_, n_, A, n_, r_, a_);
    std::copy_n(a_, n_, r_);
    for (Index c = 0; c < directions; ++c) {
      for (Index row = 0; row < n_; ++row) {
        b_[row] = W_[row * columns_ + c];
      }
      linalg::matvec_transposed(n_, n_, A, n_, b_, a_);
      for (Index row = 0; row < n_; ++row) {
        W_[row * columns_ + c] = a_[row];
      }
    }
    for (Index row = 0; row < s_; ++row) {
      std::fill(N_ + row * s_ + (row < c_ ? c_ : Index(0)), N_ + (row + 1) * s_, Scalar(0));
    }
    std::fill(r_ + c_, r_ + s_, Scalar(0));
    std::fill(W_ + c_ * columns_, W_ + s_ * columns_, Scalar(0));
  }

 private:
  /// K (size) of the tape with zeros for what it leaves out (s).
  static void widen(const Scalar* K, Index size, Index s, Scalar* out) noexcept {
    std::copy_n(K, size, out);
    std::fill(out + size, out + s, Scalar(0));
  }

  /// N₀ <- L'N₀L + alpha h h',  L = I - K h'
  void sandwich(Index s, Scalar alpha) noexcept {
    linalg::symmetric_matvec(s, s, N_, s_, K_, a_);
    linalg::update_two(s, alpha + linalg::dot(s, K_, a_), h_, a_, N_, s_);
  }

  /// W <- L'W                                                                                             (s×d)
  [[gnu::cold, gnu::noinline]] void project(Index s, Index directions) noexcept {
    std::fill_n(a_, directions, Scalar(0));
    for (Index row = 0; row < s; ++row) {
      linalg::axpy(directions, K_[row], W_ + row * columns_, a_);
    }
    for (Index row = 0; row < s; ++row) {
      linalg::axpy(directions, -h_[row], a_, W_ + row * columns_);
    }
  }

  /// The component that determines the last of the `directions`, with K₀ + K₁/kappa and 1/f = 1/(kappa F) + ...
  [[gnu::cold, gnu::noinline]] void diffuse_component(Index s, Index directions, const Scalar* a, Scalar v,
                                                      Scalar inverse) noexcept {
    linalg::restore_direction(directions, a, v * inverse - linalg::dot(s, K1_, r_), q_);
    linalg::axpy(s, -linalg::dot(s, K_, r_), h_, r_);
    project(s, directions - 1);
    linalg::symmetric_matvec(s, s, N_, s_, K1_, b_);
    const Scalar along = inverse + linalg::dot(s, K_, b_);
    for (Index row = 0; row < s; ++row) {
      linalg::restore_direction(directions, a, fused(h_[row], along, -b_[row]), W_ + row * columns_);
    }
    sandwich(s, Scalar(0));
  }

  Model<Scalar> model_;
  Index columns_;
  Index n_;
  Index c_;
  Index s_;
  Scalar* h_;
  Scalar* K_;
  Scalar* K1_;
  Scalar* a_;
  Scalar* b_;
  Scalar* left_;
  Scalar* r_;
  Scalar* N_;
  Scalar* q_;
  Scalar* W_;
};

}  // namespace kelman::linear
