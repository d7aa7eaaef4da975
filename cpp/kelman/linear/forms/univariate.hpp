// SPDX-License-Identifier: BSD-3-Clause
// The covariance form with one scalar update per observed component, for every kind of model.
//
// Predict        G' = P A' + C                (n×n)     C = Cov(x, w), zero without S
//                P <- A G' + C'A' + W         (n×n)     W = Cov w
//                V <- A V                     (n×d)     diffuse part P_inf = V V'
// Update with row h, noise variance r (after decorrelation):
//                M = P h, f = h'M + r         (s), (1)
//   ordinary     K = M / f,  P <- P - K M'
//   diffuse      a = V'h, F_inf = a'a > 0:  K₀ = V a / F_inf,  K₁ = (M - K₀ f) / F_inf,
//                P <- P + K₀K₀' f - K₀M' - M K₀',  V loses the direction a
//   exact        r = 0 and f = 0 to rounding: the model predicts the component without error; skipped
// With S the vector is (x, w, v) of length s = 2n + count with prior covariance blockdiag(P, [[Q, S~], [S~', D]]), the
// row is (h, 0, e_j) and r = 0: the formulas stay the same and R⁻¹ never appears.
//
// References: Durbin & Koopman 2012, 6.4 (sequential), 5.2 (exact diffuse); Koopman & Durbin 2000; here with V V' in
// place of P_inf, so that the diffuse rank is a number of columns.
#pragma once

#include <cmath>

#include "kelman/linalg/factor.hpp"
#include "kelman/linalg/product.hpp"
#include "kelman/linear/block.hpp"
#include "kelman/linear/forms/exact.hpp"
#include "kelman/linear/forms/form.hpp"
#include "kelman/linear/measurement.hpp"

namespace kelman::linear {

template <Real Scalar>
class Univariate {
 public:
  using scalar = Scalar;

  /// `columns` is the largest diffuse rank of any series. All memory is taken here.
  Univariate(const Model<Scalar>& model, Index columns, DiffuseConstant convention, Workspace& memory)
      : model_(model),
        n_(model.dims.n),
        s_(model.size()),
        columns_(columns),
        diffuse_constant_(convention == DiffuseConstant::statsmodels ? log_two_pi<Scalar> : Scalar(0)),
        measurement_(model, memory),
        block_(model, memory),
        P_(memory.take<Scalar>(s_ * s_)),
        V_(memory.take<Scalar>(n_ * columns)),
        M_(memory.take<Scalar>(s_)),
        exact_(model, memory),
        A_turned_(memory.take<Scalar>(n_ * n_)),
        scale_(memory.take<Scalar>(n_)),
        a_(memory.take<Scalar>(columns)),
        work1_(memory.take<Scalar>(n_ * std::max(n_, model.dims.m))),
        work2_(memory.take<Scalar>(n_ * std::max(n_, columns))),
        trial_(memory.take<Scalar>((n_ + columns) * columns)) {}

  /// Takes the start of series `i`.
  void load(const Start<Scalar>& start, Index i) noexcept {
    Moments<Scalar> moments;
    moments.cov = start.cov.at(i);
    moments.cov_ld = n_;
    moments.factor = start.inf ? start.inf.at(i) : nullptr;
    moments.factor_ld = start.columns;
    moments.rank = start.inf && start.rank ? static_cast<Index>(*start.rank.at(i)) : 0;
    moments.noise_cov = start.noise_cov ? start.noise_cov.at(i) : nullptr;
    moments.noise_cov_ld = n_;
    moments.noise_cross = start.noise_cross ? start.noise_cross.at(i) : nullptr;
    moments.noise_cross_ld = n_;
    resume(moments);
  }

  /// Goes on from moments that were kept. The noise moments stay where they are until the next `predict`.
  void resume(const Moments<Scalar>& moments) noexcept {
    linalg::copy_block(n_, n_, moments.cov, moments.cov_ld, P_, s_);
    exact_.resume(moments.rounding);
    rank_ = std::min(moments.rank, columns_);
    led_ = 0;
    if (rank_ > 0) {
      linalg::copy_block(n_, rank_, moments.factor, moments.factor_ld, V_, columns_);
    }
    noise_cov_ = moments.noise_cov;
    noise_cov_ld_ = moments.noise_cov_ld;
    noise_cross_ = moments.noise_cross;
    noise_cross_ld_ = moments.noise_cross_ld;
  }

  /// What is known now.
  [[nodiscard]] Moments<Scalar> moments() const noexcept {
    return {P_, s_, V_, columns_, rank_, noise_cov_, noise_cov_ld_, noise_cross_, noise_cross_ld_, exact_.kept()};
  }

  /// H P H' + R in the user's components                                 (m×m) = (m×n)(n×n)(n×m) + (m×m)
  void innovation_cov(Index i, Index k, Scalar* out) noexcept {
    const Index m = model_.dims.m;
    const Scalar* const H = model_.H.at(i, k);
    const Scalar* const R = model_.R.at(i, k);
    linalg::multiply(m, n_, n_, H, n_, P_, s_, work1_, n_);
    for (Index row = 0; row < m; ++row) {
      for (Index col = 0; col <= row; ++col) {
        out[row * m + col] = R[row * m + col] + linalg::dot(n_, work1_ + row * n_, H + col * n_);
      }
    }
    linalg::mirror(m, out, m);
  }

  /// Forgets what was prepared from the model's memory.
  void forget() noexcept {
    measurement_.forget();
    turned_ = nullptr;
  }

  /// Leads to time `k` with A_k and the noise of the step before.
  [[gnu::noinline]] Status predict(Index i, Index k) noexcept;

  /// Uses the components of z_k in `mask` (m) and writes their gains to `slot` (and `diffuse`, while it lasts).
  [[gnu::noinline]] Status update(Index i, Index k, const unsigned char* mask, const Slot<Scalar>& slot,
                                  DiffuseSlot<Scalar>* diffuse) noexcept;

 private:
  /// V <- A V (n×d), without the columns that a singular A empties.
  void predict_diffuse(const Scalar* A) noexcept {
    for (Index row = 0; row < n_; ++row) {
      Scalar terms(0);
      for (Index l = 0; l < n_; ++l) {
        const Scalar* const v = V_ + l * columns_;
        terms = fused(std::abs(A[row * n_ + l]), std::sqrt(linalg::dot(rank_, v, v)), terms);
      }
      scale_[row] = terms;
    }
    linalg::multiply(n_, n_, rank_, A, n_, V_, columns_, work2_, columns_);
    linalg::copy_block(n_, rank_, work2_, columns_, V_, columns_);
    linalg::clear_small_rows(n_, rank_, scale_, V_, columns_);
    led_ = rank_;
    rank_ = linalg::compress(n_, rank_, scale_, V_, columns_, trial_, a_);
    led_ = rank_ < led_ ? led_ : 0;
  }

  /// Lays out the rows of the step and, with S, the joint prior covariance.
  void begin(Index i, Index k, const Slot<Scalar>& slot) noexcept {
    SlotHead<Scalar>& head = *slot.head;
    head.count = static_cast<std::int32_t>(measurement_.count());
    head.size = static_cast<std::int32_t>(model_.joint() ? 2 * n_ + head.count : n_);
    slot.head->block = false;
    slot.head->mixed = measurement_.mix() != nullptr;
    slot.head->exact = measurement_.exact();
    slot.head->constant = Scalar(0);
    std::copy_n(measurement_.component(), slot.head->count, slot.component);
    std::copy_n(measurement_.rows(), slot.head->count * n_, slot.rows);
    if (slot.head->mixed) {
      std::copy_n(measurement_.mix(), slot.head->count * slot.head->count, slot.mix);
    }
    if (model_.joint()) {
      join(model_.Q.at(i, k), slot.head->size);
    }
    exact_.begin(slot.head->exact, slot.head->size, P_, s_);
  }

  /// blockdiag(P, [[Q, S~], [S~', D]])                                                       (s×s), s = 2n + count
  void join(const Scalar* Q, Index size) noexcept {
    for (Index row = 0; row < n_; ++row) {
      std::fill(P_ + row * s_ + n_, P_ + row * s_ + size, Scalar(0));
      Scalar* const w = P_ + (n_ + row) * s_;
      std::fill_n(w, n_, Scalar(0));
      std::copy_n(Q + row * n_, n_, w + n_);
      for (Index e = 0; e + 2 * n_ < size; ++e) {
        w[2 * n_ + e] = measurement_.cross()[e * n_ + row];
      }
    }
    for (Index e = 0; e + 2 * n_ < size; ++e) {
      Scalar* const v = P_ + (2 * n_ + e) * s_;
      std::fill_n(v, size, Scalar(0));
      std::copy_n(measurement_.cross() + e * n_, n_, v + n_);
      v[2 * n_ + e] = measurement_.noise()[e];
    }
  }

  /// Processes the components of the step one after the other.
  Status components(const Slot<Scalar>& slot, DiffuseSlot<Scalar>* diffuse) noexcept {
    for (Index e = 0; e < slot.head->count; ++e) {
      const Status status = component(e, slot, diffuse);
      if (status != Status::ok) {
        return status;
      }
    }
    exact_.settle(slot, measurement_.noise(), P_, s_, M_);
    return Status::ok;
  }

  /// Processes component `e` of the step.
  Status component(Index e, const Slot<Scalar>& slot, DiffuseSlot<Scalar>* diffuse) noexcept {
    const Scalar* const h = slot.rows + e * n_;
    Scalar* const K = slot.gains + e * s_;
    const Scalar r = measurement_.noise()[e];
    const Scalar f = along(h, e, slot.head->size, M_) + (model_.joint() ? Scalar(0) : r);
    if (rank_ > 0) {
      linalg::matvec_transposed(n_, rank_, V_, columns_, h, a_);
      const Scalar F = linalg::dot(rank_, a_, a_);
      if (F > square(Precision<Scalar>::diffuse * reach(h))) {
        use_diffuse(e, F, f, slot, diffuse);
        return Status::ok;
      }
    }
    slot.tolerance[e] = Scalar(0);
    if (r == Scalar(0)) {
      slot.tolerance[e] = exact_.deviation(h);
      if (exact_.negligible(f, h, e, slot.head->size, slot.tolerance[e])) {
        slot.use[e] = Use::exact;
        slot.variance[e] = Scalar(0);
        std::fill_n(K, slot.head->size, Scalar(0));
        return Status::ok;
      }
    }
    if (!(f > Scalar(0))) {
      return std::isnan(f) ? Status::non_finite : Status::not_positive_definite;
    }
    slot.use[e] = Use::ordinary;
    slot.variance[e] = f;
    slot.head->constant -= Scalar(0.5) * (log_two_pi<Scalar> + std::log(f));
    // K = M / f,  P <- P - K M'                                           (s) = (s)/(1), (s×s) -= (s)(1×s)
    const Scalar inverse = Scalar(1) / f;
    for (Index l = 0; l < slot.head->size; ++l) {
      K[l] = M_[l] * inverse;
    }
    exact_.blur(slot.head->size, P_, s_);
    linalg::downdate(slot.head->size, K, M_, P_, s_);
    if (r < precise<Scalar> * f) {
      polish(h, e, slot.head->size, model_.joint() ? Scalar(0) : r, f, K);
    }
    exact_.update(h, e, slot.head->size, K, P_, s_);
    return Status::ok;
  }

  /// After a measurement much more precise than the prediction, P - K M' has lost digits along h. Applying
  /// L = I - K h' once more from both sides and putting back the known remainder restores them:
  ///   P <- L P L' + r (1 + r/f) K K',   exact if P was exact, since then P h = r K.
  void polish(const Scalar* h, Index e, Index size, Scalar r, Scalar f, const Scalar* K) noexcept {
    const Scalar q = along(h, e, size, M_);  // M = P h (s), q = h'P h (1)
    linalg::update_two(size, fused(r, Scalar(1) + r / f, q), K, M_, P_, s_);
  }

  /// The component determines the diffuse direction a = V'h of squared length F.
  void use_diffuse(Index e, Scalar F, Scalar f, const Slot<Scalar>& slot, DiffuseSlot<Scalar>* diffuse) noexcept {
    Scalar* const K = slot.gains + e * s_;
    const Scalar inverse = Scalar(1) / F;
    // K₀ = V a / F_inf                                                    (n) = (n×d)(d)/(1); zero for w and v
    std::fill(K + n_, K + slot.head->size, Scalar(0));
    for (Index row = 0; row < n_; ++row) {
      K[row] = linalg::dot(rank_, V_ + row * columns_, a_) * inverse;
    }
    if (diffuse != nullptr) {
      // K₁ = (M - K₀ f) / F_inf                                           (s)
      diffuse->finite[e] = f;
      std::copy_n(a_, rank_, diffuse->seen + e * columns_);
      Scalar* const next = diffuse->gains + e * s_;
      for (Index l = 0; l < slot.head->size; ++l) {
        next[l] = fused(-K[l], f, M_[l]) * inverse;
      }
    }
    // P <- P + K₀K₀' f - K₀M' - M K₀'                                     (s×s)
    linalg::update_two(slot.head->size, f, K, M_, P_, s_);
    exact_.raise(slot.head->size, P_, s_);
    exact_.update(slot.rows + e * n_, e, slot.head->size, K, P_, s_);
    linalg::remove_direction(n_, rank_, a_, V_, columns_, scale_);
    --rank_;
    slot.use[e] = Use::diffuse;
    slot.variance[e] = F;
    slot.tolerance[e] = Scalar(0);
    slot.head->constant -= Scalar(0.5) * (diffuse_constant_ + std::log(F));
  }

  /// |V|'|h| as a length: what |V'h| would be without cancellation.
  [[nodiscard]] Scalar reach(const Scalar* h) const noexcept {
    Scalar total(0);
    for (Index c = 0; c < rank_; ++c) {
      Scalar terms(0);
      for (Index row = 0; row < n_; ++row) {
        terms = fused(std::abs(V_[row * columns_ + c]), std::abs(h[row]), terms);
      }
      total = fused(terms, terms, total);
    }
    return std::sqrt(total);
  }

  /// M = P h for the row of component `e` (s); returns h'M.
  [[nodiscard]] Scalar along(const Scalar* h, Index e, Index size, Scalar* M) const noexcept {
    return project(n_, model_.joint(), P_, s_, h, e, size, M);
  }

  [[nodiscard]] bool finite() const noexcept {
    Scalar total(0);
    for (Index row = 0; row < n_; ++row) {
      total += std::abs(P_[row * s_ + row]);
    }
    return std::isfinite(total);
  }

  [[nodiscard]] static Scalar square(Scalar value) noexcept { return value * value; }

  Model<Scalar> model_;
  Index n_;
  Index s_;
  Index columns_;
  Scalar diffuse_constant_;
  Measurement<Scalar> measurement_;
  BlockForward<Scalar> block_;
  Scalar* P_;
  Scalar* V_;
  Scalar* M_;
  Exact<Scalar> exact_;
  const Scalar* turned_ = nullptr;  // the A of which A' is kept
  Scalar* A_turned_;
  Scalar* scale_;
  Scalar* a_;
  Scalar* work1_;
  Scalar* work2_;
  Scalar* trial_;
  Index rank_ = 0;
  Index led_ = 0;  // columns of V before the last transition, if it dropped some
  const Scalar* noise_cov_ = nullptr;
  Index noise_cov_ld_ = 0;
  const Scalar* noise_cross_ = nullptr;
  Index noise_cross_ld_ = 0;
};

template <Real Scalar>
Status Univariate<Scalar>::predict(Index i, Index k) noexcept {
  const Scalar* const A = model_.A.at(i, k);
  if (A != turned_) {
    linalg::transpose(n_, n_, A, n_, A_turned_, n_);
    turned_ = A;
  }
  // G' = P A' + C                                                       (n×n) = (n×n)(n×n) + (n×n)
  linalg::multiply(n_, n_, n_, P_, s_, A_turned_, n_, work1_, n_);
  if (noise_cross_ != nullptr) {
    linalg::multiply(n_, n_, n_, A, n_, noise_cross_, noise_cross_ld_, work2_, n_);
    for (Index row = 0; row < n_; ++row) {
      linalg::axpy(n_, Scalar(1), noise_cross_ + row * noise_cross_ld_, work1_ + row * n_);
    }
  }
  // P <- W + A G' + C'A' on the lower triangle                          (n×n) = (n×n) + (n×n)(n×n)
  using linalg::Into;
  linalg::multiply_symmetric<Scalar>(
      n_, n_, {A, n_, 1}, work1_, n_,
      {noise_cov_ != nullptr ? Into::add : Into::set, P_, s_, noise_cov_, noise_cov_ld_});
  for (Index row = 0; row < n_ && noise_cross_ != nullptr; ++row) {
    for (Index col = 0; col <= row; ++col) {
      P_[row * s_ + col] += work2_[col * n_ + row];
    }
  }
  linalg::mirror(n_, P_, s_);
  exact_.predict(A, P_, s_);
  if (rank_ > 0) {
    predict_diffuse(A);
  }
  return finite() ? Status::ok : Status::non_finite;
}

template <Real Scalar>
Status Univariate<Scalar>::update(Index i, Index k, const unsigned char* mask, const Slot<Scalar>& slot,
                                  DiffuseSlot<Scalar>* diffuse) noexcept {
  Status status = Status::ok;
  if (measurement_.prepare(i, k, mask)) {
    begin(i, k, slot);
    if (rank_ > 0 || exact_.kept() != nullptr || !block_.update(measurement_, slot, P_)) {
      status = components(slot, diffuse);
    }
    linalg::mirror(slot.head->size, P_, s_);
  } else {
    status = Status::not_positive_definite;
  }
  if (diffuse != nullptr) {
    diffuse->rank = rank_;
    diffuse->led = led_;
    linalg::copy_block(led_, columns_, trial_ + n_ * columns_, columns_, diffuse->lead, columns_);
    linalg::copy_block(n_, rank_, V_, columns_, diffuse->V, columns_);
  }
  if (model_.joint()) {
    noise_cov_ = P_ + n_ * s_ + n_;
    noise_cov_ld_ = s_;
    noise_cross_ = P_ + n_;
    noise_cross_ld_ = s_;
  } else {
    noise_cov_ = model_.Q.at(i, k);
    noise_cov_ld_ = n_;
    noise_cross_ = nullptr;
  }
  return status == Status::ok && !finite() ? Status::non_finite : status;
}

// compiled once, with all that they call, in cpp/instantiate/linear_forms.cpp
extern template Status Univariate<double>::predict(Index, Index) noexcept;
extern template Status Univariate<float>::predict(Index, Index) noexcept;
extern template Status Univariate<double>::update(Index, Index, const unsigned char*, const Slot<double>&,
                                                  DiffuseSlot<double>*) noexcept;
extern template Status Univariate<float>::update(Index, Index, const unsigned char*, const Slot<float>&,
                                                 DiffuseSlot<float>*) noexcept;

static_assert(Form<Univariate<double>> && Form<Univariate<float>>, "the univariate form is a form");

}  // namespace kelman::linear
