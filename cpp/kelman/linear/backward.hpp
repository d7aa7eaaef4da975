// SPDX-License-Identifier: BSD-3-Clause
// The way back through time: what the measurements after a point say about the error of the vector carried there.
//
//   r = sum of (dv_i/de)' v_i / f_i,   N = Cov r       over the later components i, e the error of the vector (s)
//
// Back over one component with row h, gain K, variance f, innovation v (L = I - K h'):
//   ordinary   r <- r + h (v/f - K'r)                    N <- L'N L + h h'/f
//   diffuse    K = K₀ + K₁/kappa, 1/f = 1/(kappa F) - F*/(kappa F)², kappa -> infinity, in powers of 1/kappa:
//              r₁ <- r₁ + h (v/F - K₀'r₁ - K₁'r₀)        r₀ <- r₀ - h K₀'r₀
//              of r₁ only q = V'r₁ is wanted:  q <- Θ₂ q + a (v/F - K₁'r₀), and transitions change nothing of it
//              N₂ <- L₀'N₂L₀ + L₀'N₁L₁ + L₁'N₁L₀ + L₁'N₀L₁ - h h' F*/F²       L₀ = I - K₀h', L₁ = -K₁h'
//              N₁ <- L₀'N₁L₀ + L₁'N₀L₀ + L₀'N₀L₁ + h h'/F      N₀ <- L₀'N₀L₀
// Back over a transition x⁺ = A x + w, with T = A, or T = [A, I, 0] on (x, w, v) with S:  r <- T'r,  N <- T'N T.
// No covariance is inverted: singular Q, R and P need no special case.
//
// References: de Jong 1989; Durbin & Koopman 2012, 4.4, 5.3, 6.4; Koopman & Durbin 2003.
#pragma once

#include <algorithm>
#include <cmath>

#include "kelman/linalg/factor.hpp"
#include "kelman/linalg/product.hpp"
#include "kelman/linear/block.hpp"
#include "kelman/linear/tape.hpp"

namespace kelman::linear {

/// The row h of component `e` of a slot as a dense vector: (h) or (h, 0, e_j).             (s)
template <Real Scalar>
void dense_row(const Model<Scalar>& model, const Slot<Scalar>& slot, Index e, Scalar* h) noexcept {
  const Index n = model.dims.n;
  std::copy_n(slot.rows + e * n, n, h);
  std::fill(h + n, h + slot.head->size, Scalar(0));
  if (model.joint()) {
    h[2 * n + e] = Scalar(1);
  }
}

/// r₀ and q = V'r₁ of one series.
template <Real Scalar>
class BackwardMean {
 public:
  BackwardMean(const Model<Scalar>& model, Workspace& memory)
      : model_(model),
        r0_(memory.take<Scalar>(model.size())),
        q_(memory.take<Scalar>(model.dims.n)),
        h_(memory.take<Scalar>(model.size())),
        scratch_(memory.take<Scalar>(model.dims.n)) {}

  /// Nothing is known from later measurements: after the last one.
  void clear() noexcept {
    std::fill_n(r0_, model_.size(), Scalar(0));
    std::fill_n(q_, model_.dims.n, Scalar(0));
  }

  /// Back over all components of a step with innovations v (count). `diffuse` is null after the diffuse phase.
  [[gnu::noinline]] void measurement(const Slot<Scalar>& slot, const DiffuseSlot<Scalar>* diffuse, Index columns,
                                     const Scalar* v) noexcept {
    const Index s = slot.head->size;
    Index directions = diffuse != nullptr ? diffuse->rank : 0;
    for (Index e = slot.head->count; e-- > 0;) {
      if (slot.use[e] == Use::exact) {
        continue;
      }
      dense_row(model_, slot, e, h_);
      const Scalar* const K = slot.gains + e * model_.size();
      const Scalar scaled = v[e] / slot.variance[e];
      if (slot.use[e] == Use::diffuse) {
        const Scalar* const K1 = diffuse->gains + e * model_.size();
        linalg::restore_direction(++directions, diffuse->seen + e * columns, scaled - linalg::dot(s, K1, r0_), q_);
        linalg::axpy(s, -linalg::dot(s, K, r0_), h_, r0_);
        continue;
      }
      linalg::axpy(s, scaled - linalg::dot(s, K, r0_), h_, r0_);
    }
    if (diffuse != nullptr && diffuse->led > 0) {
      lead_back(*diffuse, directions, columns, scratch_, q_);
    }
  }

  /// Back over the transition with A (n×n).
  [[gnu::noinline]] void transition(const Scalar* A) noexcept { back(A, r0_); }

  /// x += P r₀ + C r₀_w + V q                               (n) += (n×n)(n) + (n×n)(n) + (n×d)(d)
  [[gnu::noinline]] void smooth(const Scalar* P, const Scalar* C, const DiffuseSlot<Scalar>* diffuse, Index columns,
                                Scalar* x) noexcept {
    const Index n = model_.dims.n;
    linalg::symmetric_matvec(n, n, P, n, r0_, scratch_);
    linalg::axpy(n, Scalar(1), scratch_, x);
    if (C != nullptr) {
      for (Index row = 0; row < n; ++row) {
        x[row] += linalg::dot(n, C + row * n, r0_ + n);
      }
    }
    for (Index row = 0; diffuse != nullptr && row < n; ++row) {
      x[row] += linalg::dot(diffuse->rank, diffuse->V + row * columns, q_);
    }
  }

 private:
  void back(const Scalar* A, Scalar* r) noexcept {
    const Index n = model_.dims.n;
    linalg::matvec_transposed(n, n, A, n, r, scratch_);
    if (model_.joint()) {
      std::copy_n(r, n, r + n);
      std::fill(r + 2 * n, r + model_.size(), Scalar(0));
    }
    std::copy_n(scratch_, n, r);
  }

  Model<Scalar> model_;
  Scalar* r0_;
  Scalar* q_;
  Scalar* h_;
  Scalar* scratch_;
};

/// N₀, N₁ and N₂ of one series.
template <Real Scalar>
class BackwardCovariance {
 public:
  BackwardCovariance(const Model<Scalar>& model, Index columns, Workspace& memory)
      : model_(model),
        n_(model.dims.n),
        s_(model.size()),
        columns_(columns),
        block_(model, memory),
        h_(memory.take<Scalar>(s_)),
        a_(memory.take<Scalar>(s_)),
        b_(memory.take<Scalar>(s_)),
        left_(memory.take<Scalar>(n_ * std::max(2 * n_, columns))),
        right_(memory.take<Scalar>(std::max(2 * n_, columns) * std::max(2 * n_, columns))),
        small_(memory.take<Scalar>(columns * std::max(columns, n_))),
        moved_(memory.take<Scalar>(n_ * columns)) {
    for (Scalar*& matrix : N_) {
      matrix = memory.take<Scalar>(s_ * s_);
    }
  }

  /// Nothing is known from later measurements: after the last one.
  void clear() noexcept {
    for (Scalar* const matrix : N_) {
      std::fill_n(matrix, s_ * s_, Scalar(0));
    }
  }

  /// Back over all components of a step. `diffuse` is null after the diffuse phase.
  [[gnu::noinline]] void measurement(const Slot<Scalar>& slot, const DiffuseSlot<Scalar>* diffuse) noexcept {
    const Index s = slot.head->size;
    if (slot.head->block && diffuse == nullptr) {
      block_.update(slot, N_[0]);
      linalg::mirror(s, N_[0], s_);
      return;
    }
    for (Index e = slot.head->count; e-- > 0;) {
      if (slot.use[e] == Use::exact) {
        continue;
      }
      dense_row(model_, slot, e, h_);
      const Scalar* const K = slot.gains + e * s_;
      const Scalar inverse = Scalar(1) / slot.variance[e];
      if (slot.use[e] == Use::diffuse) {
        diffuse_component(s, K, diffuse->gains + e * s_, inverse, diffuse->finite[e]);
        continue;
      }
      if (diffuse != nullptr) {
        sandwich(s, N_[2], K, Scalar(0));
        sandwich(s, N_[1], K, Scalar(0));
      }
      sandwich(s, N_[0], K, inverse);
    }
    for (int power = 0; power < (diffuse != nullptr ? 3 : 1); ++power) {
      linalg::mirror(s, N_[power], s_);
    }
  }

  /// Back over the transition with A (n×n).
  [[gnu::noinline]] void transition(const Scalar* A, bool diffuse) noexcept {
    for (int power = 0; power < (diffuse ? 3 : 1); ++power) {
      back(A, N_[power]);
    }
  }

  /// P_s = P - X N₀ X' (- V V'N₁X' - X N₁V V' - V V'N₂V V'),  X = P or [P, C]            (n×n), (n×2n)
  [[gnu::noinline]] void smooth(const Scalar* P, const Scalar* C, const DiffuseSlot<Scalar>* diffuse,
                                Scalar* P_s) noexcept {
    using linalg::Into;
    const Index width = C != nullptr ? 2 * n_ : n_;
    // left_ = X N₀                                                              (n×2n)
    linalg::multiply(n_, n_, width, P, n_, N_[0], s_, left_, width);
    if (C != nullptr) {
      linalg::multiply<true>(n_, n_, width, C, n_, N_[0] + n_ * s_, s_, left_, width);
    }
    linalg::multiply_symmetric<Scalar>(n_, n_, {left_, width, 1}, P, n_, {Into::subtract, P_s, n_, P, n_});
    // right_ = X' = [P; C']                                                     (2n×n)
    const bool vague = diffuse != nullptr && diffuse->rank > 0;
    if (C != nullptr || vague) {
      linalg::copy_block(n_, n_, P, n_, right_, n_);
    }
    if (C != nullptr) {
      linalg::transpose(n_, n_, C, n_, right_ + n_ * n_, n_);
      linalg::multiply_symmetric<Scalar>(n_, n_, {left_ + n_, width, 1}, right_ + n_ * n_, n_,
                                         {Into::subtract, P_s, n_});
    }
    if (vague) {
      smooth_diffuse(*diffuse, width, P_s);
    }
    linalg::mirror(n_, P_s, n_);
  }

  /// N₀ (s×s).
  [[nodiscard]] const Scalar* N() const noexcept { return N_[0]; }

  /// Size of the terms that `smooth` subtracts, and so of its rounding error in units of the machine epsilon, from the
  /// largest variances `finite` of P and `vague` of V V'.
  [[nodiscard]] Scalar magnitude(Scalar finite, Scalar vague) const noexcept {
    return finite * finite * largest(N_[0]) +
           (vague > Scalar(0) ? Scalar(2) * finite * vague * largest(N_[1]) + vague * vague * largest(N_[2])
                              : Scalar(0));
  }

  /// out = G - P N₀ G (- V V'N₁G - P N₁V U' - V V'N₂V U'), where P and V V' are the predicted covariance, G = A P_f +
  /// C' the covariance of the predicted with the filtered state, and V U' its diffuse part (V = A U). On entry `out` =
  /// P.
  [[gnu::noinline]] void lag_one(const Scalar* A, const Scalar* P_f, const Scalar* C, Index ldc, const Scalar* U,
                                 Index rank, Scalar* out) noexcept {
    Scalar* const G = right_;             // (n×n)
    Scalar* const NG = right_ + n_ * n_;  // (n×n)
    linalg::multiply(n_, n_, n_, A, n_, P_f, n_, G, n_);
    if (C != nullptr) {
      for (Index row = 0; row < n_; ++row) {
        for (Index col = 0; col < n_; ++col) {
          G[row * n_ + col] += C[col * ldc + row];
        }
      }
    }
    std::copy_n(out, n_ * n_, left_);  // P
    linalg::multiply(n_, n_, n_, N_[0], s_, G, n_, NG, n_);
    if (rank > 0) {
      // V = A U (n×d); NG += N₁ V U': what P multiplies from the left
      linalg::multiply(n_, n_, rank, A, n_, U, columns_, moved_, columns_);
      linalg::multiply(n_, n_, rank, N_[1], s_, moved_, columns_, out, rank);
      for (Index row = 0; row < n_; ++row) {
        for (Index col = 0; col < n_; ++col) {
          NG[row * n_ + col] += linalg::dot(rank, out + row * rank, U + col * columns_);
        }
      }
    }
    linalg::multiply(n_, n_, n_, left_, n_, NG, n_, out, n_);
    if (rank > 0) {
      lag_diffuse(G, U, rank, NG, out);
    }
    for (Index l = 0; l < n_ * n_; ++l) {
      out[l] = G[l] - out[l];
    }
  }

 private:
  [[nodiscard]] Scalar largest(const Scalar* N) const noexcept {
    Scalar top(0);
    for (Index row = 0; row < n_; ++row) {
      top = std::max(top, std::abs(N[row * s_ + row]));
    }
    return top;
  }

  /// N <- L'N L + alpha h h' with L = I - K h'
  void sandwich(Index s, Scalar* N, const Scalar* K, Scalar alpha) noexcept {
    linalg::symmetric_matvec(s, s, N, s_, K, a_);
    linalg::update_two(s, alpha + linalg::dot(s, K, a_), h_, a_, N, s_);
  }

  void diffuse_component(Index s, const Scalar* K0, const Scalar* K1, Scalar inverse, Scalar finite) noexcept {
    // N₂: y = N₂K₀ + N₁K₁,  alpha = K₀'N₂K₀ + 2 K₀'N₁K₁ + K₁'N₀K₁ - F*/F²
    linalg::symmetric_matvec(s, s, N_[2], s_, K0, a_);
    linalg::symmetric_matvec(s, s, N_[1], s_, K1, b_);
    Scalar alpha = linalg::dot(s, K0, a_) + Scalar(2) * linalg::dot(s, K0, b_) - finite * inverse * inverse;
    linalg::axpy(s, Scalar(1), b_, a_);
    linalg::symmetric_matvec(s, s, N_[0], s_, K1, b_);  // b = N₀K₁
    alpha += linalg::dot(s, K1, b_);
    linalg::update_two(s, alpha, h_, a_, N_[2], s_);
    // N₁: y = N₁K₀ + N₀K₁,  alpha = K₀'N₁K₀ + 2 K₀'N₀K₁ + 1/F
    linalg::symmetric_matvec(s, s, N_[1], s_, K0, a_);
    alpha = linalg::dot(s, K0, a_) + Scalar(2) * linalg::dot(s, K0, b_) + inverse;
    linalg::axpy(s, Scalar(1), b_, a_);
    linalg::update_two(s, alpha, h_, a_, N_[1], s_);
    sandwich(s, N_[0], K0, Scalar(0));
  }

  /// N <- T'N T, from the x block (n×n) to the whole: [[A'NA, A'N, 0], [NA, N, 0], [0, 0, 0]] with S
  void back(const Scalar* A, Scalar* N) noexcept {
    // NA = N A (n×n) in left_
    linalg::multiply(n_, n_, n_, N, s_, A, n_, left_, n_);
    if (model_.joint()) {
      for (Index row = 0; row < n_; ++row) {
        Scalar* const w = N + (n_ + row) * s_;
        std::copy_n(left_ + row * n_, n_, w);
        std::copy_n(N + row * s_, n_, w + n_);
        std::fill(w + 2 * n_, w + s_, Scalar(0));
        std::fill(N + row * s_ + 2 * n_, N + row * s_ + s_, Scalar(0));
      }
      for (Index row = 2 * n_; row < s_; ++row) {
        std::fill_n(N + row * s_, s_, Scalar(0));
      }
      linalg::transpose(n_, n_, left_, n_, N + n_, s_);
    }
    linalg::multiply_symmetric<Scalar>(n_, n_, {A, 1, n_}, left_, n_, {linalg::Into::set, N, s_});
    linalg::mirror(n_, N, s_);
  }

  /// Lower triangle of P -= V V'N₁X' + X N₁V V' + V (V'N₂V) V', with X' (width×n) in right_
  void smooth_diffuse(const DiffuseSlot<Scalar>& diffuse, Index width, Scalar* P) noexcept {
    const Index d = diffuse.rank;
    const Scalar* const V = diffuse.V;
    // Y = X N₁V (n×d) in moved_: column c of N₁V (width) in a_
    for (Index c = 0; c < d; ++c) {
      for (Index row = 0; row < n_; ++row) {
        b_[row] = V[row * columns_ + c];
      }
      linalg::matvec_transposed(n_, width, N_[1], s_, b_, a_);
      for (Index row = 0; row < n_; ++row) {
        Scalar total(0);
        for (Index l = 0; l < width; ++l) {
          total = fused(right_[l * n_ + row], a_[l], total);
        }
        moved_[row * columns_ + c] = total;
      }
    }
    // Y += V (V'N₂V) / 2, so that P -= Y V' + V Y'
    linalg::multiply(n_, n_, d, N_[2], s_, V, columns_, left_, d);
    for (Index c = 0; c < d; ++c) {
      for (Index l = 0; l < d; ++l) {
        Scalar total(0);
        for (Index row = 0; row < n_; ++row) {
          total = fused(V[row * columns_ + c], left_[row * d + l], total);
        }
        small_[c * d + l] = Scalar(0.5) * total;
      }
    }
    linalg::multiply<true>(n_, d, d, V, columns_, small_, d, moved_, columns_);
    for (Index row = 0; row < n_; ++row) {
      for (Index col = 0; col <= row; ++col) {
        P[row * n_ + col] -= linalg::dot(d, moved_ + row * columns_, V + col * columns_) +
                             linalg::dot(d, V + row * columns_, moved_ + col * columns_);
      }
    }
  }

  /// out += V (V'N₁G + V'N₂V U') with V (n×d) in moved_; `scratch` (n×n) is free
  void lag_diffuse(const Scalar* G, const Scalar* U, Index d, Scalar* scratch, Scalar* out) noexcept {
    // small = V'N₁G (d×n)
    linalg::multiply(n_, n_, d, N_[1], s_, moved_, columns_, left_, d);  // N₁V (n×d)
    for (Index c = 0; c < d; ++c) {
      std::fill_n(small_ + c * n_, n_, Scalar(0));
      for (Index row = 0; row < n_; ++row) {
        linalg::axpy(n_, left_[row * d + c], G + row * n_, small_ + c * n_);
      }
    }
    // small += (V'N₂V) U' (d×n)
    linalg::multiply(n_, n_, d, N_[2], s_, moved_, columns_, left_, d);  // N₂V (n×d)
    for (Index c = 0; c < d; ++c) {
      for (Index l = 0; l < d; ++l) {
        Scalar total(0);
        for (Index row = 0; row < n_; ++row) {
          total = fused(moved_[row * columns_ + c], left_[row * d + l], total);
        }
        scratch[l] = total;
      }
      for (Index col = 0; col < n_; ++col) {
        small_[c * n_ + col] += linalg::dot(d, scratch, U + col * columns_);
      }
    }
    linalg::multiply<true>(n_, d, n_, moved_, columns_, small_, n_, out, n_);
  }

  Model<Scalar> model_;
  Index n_;
  Index s_;
  Index columns_;
  BlockBackward<Scalar> block_;
  Scalar* h_;
  Scalar* a_;
  Scalar* b_;
  Scalar* left_;
  Scalar* right_;
  Scalar* small_;
  Scalar* moved_;
  Scalar* N_[3];
};

}  // namespace kelman::linear
