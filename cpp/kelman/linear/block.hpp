// SPDX-License-Identifier: BSD-3-Clause
// All components of a step at once, for large models: products of matrices in place of one pass over P per component.
//
//   forward    X = H P,  F = X H' + D = L diag(f) L'                    (m×n), (m×m)
//              M = L⁻¹ X,  K = M / f,  P <- P - K'M                     (m×n), (n×n)
//   backward   U = K N,  C = diag(1/f) + U K',  G = L⁻¹ H               (m×n), (m×m), (m×n)
//              B = U - C G / 2,  N <- N - G'B - B'G                     (n×n)
//
// Row e of M and K is what component e would have given after those before it, M_e = P h_e and K_e = M_e / f_e, so that
// the slots look the same and means need not know. The product of L_e = I - K_e h_e' over the components is I - K'G.
// Only steps without exact and diffuse components, without S, and without large differences in precision go this way:
// the others need what `Univariate` does after each component.
#pragma once

#include "kelman/linalg/ldl.hpp"
#include "kelman/linalg/product.hpp"
#include "kelman/linear/measurement.hpp"
#include "kelman/linear/tape.hpp"

namespace kelman::linear {

/// A measurement this much more precise than its prediction needs care.
template <Real Scalar>
inline constexpr Scalar precise = Scalar(1e-3);

/// The way forward: gains of a step and the covariance after it.
template <Real Scalar>
class BlockForward {
 public:
  BlockForward(const Model<Scalar>& model, Workspace& memory)
      : n_(model.dims.n),
        s_(model.size()),
        width_(linalg::whole_registers<Scalar>(n_)),
        X_(model.wide() ? memory.take<Scalar>(model.dims.m * width_) : nullptr),
        F_(model.wide() ? memory.take<Scalar>(model.dims.m * linalg::whole_registers<Scalar>(model.dims.m)) : nullptr) {
  }

  /// Fills the slot and the lower triangle of P. False, with P untouched, if the step needs care. P is a full symmetric
  /// matrix; its rows have length s.
  [[nodiscard]] bool update(Measurement<Scalar>& measurement, const Slot<Scalar>& slot, Scalar* P) noexcept {
    const Index m = measurement.count();
    if (slot.coupling == nullptr || m < least_components || measurement.exact()) {
      return false;
    }
    const Index ld = linalg::whole_registers<Scalar>(m);
    // X = H P, F = X H' + D                                               (m×n) = (m×n)(n×n), (m×m) = (m×n)(n×m)
    linalg::multiply(m, n_, n_, slot.rows, n_, P, s_, X_, width_);
    linalg::multiply(m, n_, ld, X_, width_, measurement.columns(), ld, F_, ld);
    if (!factorise(m, ld, measurement.noise(), slot.variance)) {
      return false;
    }
    linalg::copy_block(m, m, F_, ld, slot.coupling, m);
    linalg::solve_factor(m, width_, F_, ld, X_, width_);
    for (Index e = 0; e < m; ++e) {
      const Scalar f = slot.variance[e];
      const Scalar inverse = Scalar(1) / f;
      const Scalar* const M = X_ + e * width_;
      Scalar* const K = slot.gains + e * s_;
      for (Index l = 0; l < n_; ++l) {
        K[l] = M[l] * inverse;
      }
      slot.use[e] = Use::ordinary;
      slot.tolerance[e] = Scalar(0);
      slot.head->constant -= Scalar(0.5) * (log_two_pi<Scalar> + std::log(f));
    }
    slot.head->block = true;
    // P <- P - K'M                                                        (n×n) -= (n×m)(m×n)
    linalg::multiply_symmetric<Scalar>(n_, m, {slot.gains, 1, s_}, X_, width_, {linalg::Into::subtract, P, s_});
    return true;
  }

 private:
  static constexpr Index least_components = 4;

  /// Adds the noise and factorises F. False if some pivot f lost digits, or a component is much more precise than its
  /// prediction.
  [[nodiscard]] bool factorise(Index m, Index ld, const Scalar* noise, Scalar* f) noexcept {
    for (Index e = 0; e < m; ++e) {
      f[e] = F_[e * ld + e] += noise[e];
    }
    // the diagonal of F is overwritten by its pivots
    if (!linalg::factorise_regular(m, F_, ld)) {
      return false;
    }
    bool regular = true;
    for (Index e = 0; e < m; ++e) {
      const Scalar pivot = F_[e * ld + e];
      regular = regular && pivot >= precise<Scalar> * f[e] && noise[e] >= precise<Scalar> * pivot;
      f[e] = pivot;
    }
    return regular;
  }

  Index n_;
  Index s_;
  Index width_;
  Scalar* X_;
  Scalar* F_;
};

/// The way back: what the components of a step say.
template <Real Scalar>
class BlockBackward {
 public:
  BlockBackward(const Model<Scalar>& model, Workspace& memory) : n_(model.dims.n), s_(model.size()) {
    if (model.wide()) {
      const Index m = model.dims.m;
      width_ = linalg::whole_registers<Scalar>(n_);
      G_ = memory.take<Scalar>(3 * m * width_);
      gains_ = memory.take<Scalar>(n_ * linalg::whole_registers<Scalar>(m));
      C_ = memory.take<Scalar>(m * linalg::whole_registers<Scalar>(m));
    }
  }

  /// Lower triangle of N before the step, from the full symmetric N after it; rows of length s.
  void update(const Slot<Scalar>& slot, Scalar* N) noexcept {
    const Index m = slot.head->count;
    const Index ld = linalg::whole_registers<Scalar>(m);
    Scalar* const G = G_;  // [G; B; G], so that N -= [G; B]' [B; G]
    Scalar* const B = G_ + m * width_;
    // B = U = K N, C = U K'                                               (m×n) = (m×n)(n×n), (m×m) = (m×n)(n×m)
    linalg::multiply(m, n_, n_, slot.gains, s_, N, s_, B, width_);
    linalg::transpose(m, n_, slot.gains, s_, gains_, ld);
    linalg::multiply(m, n_, ld, B, width_, gains_, ld, C_, ld);
    for (Index e = 0; e < m; ++e) {
      C_[e * ld + e] += Scalar(1) / slot.variance[e];
    }
    for (Index l = 0; l < m * ld; ++l) {
      C_[l] *= Scalar(0.5);
    }
    // G = L⁻¹ H, B = U - C G / 2                                          (m×n), (m×n) -= (m×m)(m×n)
    linalg::copy_block(m, n_, slot.rows, n_, G, width_);
    linalg::solve_factor(m, width_, slot.coupling, m, G, width_);
    linalg::multiply_tiled<Scalar>(false, m, m, width_, {C_, ld, 1}, G, width_, {linalg::Into::subtract, B, width_});
    // N <- N - G'B - B'G                                                  (n×n) -= (n×2m)(2m×n)
    std::copy_n(G, m * width_, G + 2 * m * width_);
    linalg::multiply_symmetric<Scalar>(n_, 2 * m, {G, 1, width_}, B, width_, {linalg::Into::subtract, N, s_});
  }

 private:
  Index n_;
  Index s_;
  Index width_ = 0;
  Scalar* G_ = nullptr;
  Scalar* gains_ = nullptr;
  Scalar* C_ = nullptr;
};

}  // namespace kelman::linear
