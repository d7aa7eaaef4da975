// SPDX-License-Identifier: BSD-3-Clause
// The covariance form with one scalar update per observed component, for every kind of model.
//
// Predict        G = A P + C'                 (n×n)     C = Cov(x, w), zero without S
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
        P_(memory.take<Scalar>(s_ * s_)),
        V_(memory.take<Scalar>(n_ * columns)),
        M_(memory.take<Scalar>(s_)),
        before_(memory.take<Scalar>(s_)),
        basis_(memory.take<Scalar>(model.dims.m * n_)),
        E_(memory.take<Scalar>(s_ * s_)),
        blur_(memory.take<Scalar>(s_)),
        scale_(memory.take<Scalar>(n_)),
        a_(memory.take<Scalar>(columns)),
        work1_(memory.take<Scalar>(n_ * std::max(n_, model.dims.m))),
        work2_(memory.take<Scalar>(n_ * std::max(n_, columns))),
        work3_(memory.take<Scalar>(n_ * std::max(n_, columns))) {}

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
    tracking_ = moments.rounding != nullptr;
    if (tracking_) {
      std::copy_n(moments.rounding, s_ * s_, E_);
    }
    rank_ = std::min(moments.rank, columns_);
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
    return {P_,         s_,            V_,           columns_,        rank_,
            noise_cov_, noise_cov_ld_, noise_cross_, noise_cross_ld_, tracking_ ? E_ : nullptr};
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
  void forget() noexcept { measurement_.forget(); }

  /// Leads to time `k` with A_k and the noise of the step before.
  [[gnu::noinline]] Status predict(Index i, Index k) noexcept {
    const Scalar* const A = model_.A.at(i, k);
    // G = A P + C'                                                        (n×n) = (n×n)(n×n) + (n×n)
    linalg::multiply(n_, n_, n_, A, n_, P_, s_, work1_, n_);
    // P <- W + C'A' + A G' on the lower triangle                          (n×n) = (n×n) + (n×n)(n×n)
    if (noise_cov_ != nullptr) {
      linalg::copy_block(n_, n_, noise_cov_, noise_cov_ld_, P_, s_);
    } else {
      clear_block(P_, s_);
    }
    if (noise_cross_ != nullptr) {
      linalg::multiply(n_, n_, n_, A, n_, noise_cross_, noise_cross_ld_, work2_, n_);
      for (Index row = 0; row < n_; ++row) {
        for (Index col = 0; col < n_; ++col) {
          P_[row * s_ + col] += work2_[col * n_ + row];
          work1_[row * n_ + col] += noise_cross_[col * noise_cross_ld_ + row];
        }
      }
    }
    linalg::transpose(n_, n_, work1_, n_, work2_, n_);
    linalg::multiply_symmetric(n_, n_, A, n_, work2_, n_, P_, s_);
    linalg::mirror(n_, P_, s_);
    if (tracking_) {
      predict_rounding(A);
    }
    if (rank_ > 0) {
      predict_diffuse(A);
    }
    return finite() ? Status::ok : Status::non_finite;
  }

  /// Uses the components of z_k in `mask` (m) and writes their gains to `slot` (and `diffuse`, while it lasts).
  [[gnu::noinline]] Status update(Index i, Index k, const unsigned char* mask, const Slot<Scalar>& slot,
                                  DiffuseSlot<Scalar>* diffuse) noexcept {
    Status status = Status::ok;
    if (measurement_.prepare(i, k, mask)) {
      begin(i, k, slot);
      for (Index e = 0; e < slot.head->count && status == Status::ok; ++e) {
        status = component(e, slot, diffuse);
      }
      if (status == Status::ok && (tracking_ || model_.joint())) {
        settle(slot);
      }
      linalg::mirror(slot.head->size, P_, s_);
    } else {
      status = Status::not_positive_definite;
    }
    if (diffuse != nullptr) {
      diffuse->rank = rank_;
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

 private:
  void clear_block(Scalar* block, Index ld) noexcept {
    for (Index row = 0; row < n_; ++row) {
      std::fill_n(block + row * ld, n_, Scalar(0));
    }
  }

  /// V <- A V (n×d), without the columns that a singular A empties.
  void predict_diffuse(const Scalar* A) noexcept {
    for (Index row = 0; row < n_; ++row) {
      Scalar terms(0);
      for (Index l = 0; l < n_; ++l) {
        const Scalar* const v = V_ + l * columns_;
        terms += std::abs(A[row * n_ + l]) * std::sqrt(linalg::dot(rank_, v, v));
      }
      scale_[row] = terms;
    }
    linalg::multiply(n_, n_, rank_, A, n_, V_, columns_, work2_, columns_);
    linalg::copy_block(n_, rank_, work2_, columns_, V_, columns_);
    linalg::clear_small_rows(n_, rank_, scale_, V_, columns_);
    rank_ = linalg::compress(n_, rank_, scale_, V_, columns_, work3_, a_);
  }

  /// Lays out the rows of the step and, with S, the joint prior covariance.
  void begin(Index i, Index k, const Slot<Scalar>& slot) noexcept {
    SlotHead<Scalar>& head = *slot.head;
    head.count = static_cast<std::int32_t>(measurement_.count());
    head.size = static_cast<std::int32_t>(model_.joint() ? 2 * n_ + head.count : n_);
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
    for (Index row = 0; row < slot.head->size; ++row) {
      before_[row] = P_[row * s_ + row];
    }
    if (slot.head->exact || tracking_) {
      begin_rounding(slot.head->size);
    }
  }

  /// E starts as the rounding of P at the first component without noise; with S the blocks of w and v join each step.
  void begin_rounding(Index size) noexcept {
    for (Index row = 0; row < size; ++row) {
      const Index known = tracking_ ? n_ : 0;  // what is kept from the step before
      Scalar* const e = E_ + row * s_;
      std::fill(e + (row < known ? known : 0), e + size, Scalar(0));
      if (row >= known) {
        e[row] = rounding() * before_[row];
      }
    }
    tracking_ = true;
  }

  /// E <- T E T' + rounding of P, T = A or [A, I]                                             (n×n)
  void predict_rounding(const Scalar* A) noexcept {
    linalg::mirror(model_.joint() ? 2 * n_ : n_, E_, s_);
    linalg::multiply(n_, n_, n_, A, n_, E_, s_, work1_, n_);  // A E_xx
    if (model_.joint()) {
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
        if (model_.joint()) {
          E_[row * s_ + col] += work2_[row * n_ + col];
        }
      }
      E_[row * s_ + row] += rounding() * std::abs(P_[row * s_ + row]);
    }
  }

  /// E <- L (E + rounding of P before) L' + rounding of P after, L = I - K h'                (s×s)
  void update_rounding(const Scalar* h, Index e, Index size, const Scalar* K) noexcept {
    const Scalar q = project(E_, h, e, size, Scalar(0), blur_);
    linalg::update_two(size, q, K, blur_, E_, s_);
    blur_diagonal(size);
  }

  void blur_diagonal(Index size) noexcept {
    for (Index row = 0; row < size; ++row) {
      E_[row * s_ + row] += rounding() * std::abs(P_[row * s_ + row]);
    }
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

  /// M = P h for the row (h) or (h, 0, e_j); returns f = h'M + r                             (s) = (s×s)(s)
  [[nodiscard]] Scalar project(const Scalar* P, const Scalar* h, Index e, Index size, Scalar r,
                               Scalar* M) const noexcept {
    linalg::symmetric_matvec(size, n_, P, s_, h, M);
    if (model_.joint()) {
      linalg::add_column(size, 2 * n_ + e, P, s_, M);
      return linalg::dot(n_, h, M) + M[2 * n_ + e];
    }
    return linalg::dot(n_, h, M) + r;
  }

  /// Processes component `e` of the step.
  Status component(Index e, const Slot<Scalar>& slot, DiffuseSlot<Scalar>* diffuse) noexcept {
    const Scalar* const h = slot.rows + e * n_;
    Scalar* const K = slot.gains + e * s_;
    const Scalar r = measurement_.noise()[e];
    const Scalar f = project(P_, h, e, slot.head->size, r, M_);
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
      slot.tolerance[e] = deviation(h);
      const Scalar blur = project(E_, h, e, slot.head->size, Scalar(0), blur_);
      if (f <= std::max(blur, Scalar(0)) + rounding() * square(slot.tolerance[e])) {
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
    if (tracking_) {
      blur_diagonal(slot.head->size);
    }
    linalg::downdate(slot.head->size, K, M_, P_, s_);
    if (r < precise * f) {
      polish(h, e, slot.head->size, model_.joint() ? Scalar(0) : r, f, K);
    }
    if (tracking_) {
      update_rounding(h, e, slot.head->size, K);
    }
    return Status::ok;
  }

  /// After a measurement much more precise than the prediction, P - K M' has lost digits along h. Applying
  /// L = I - K h' once more from both sides and putting back the known remainder restores them:
  ///   P <- L P L' + r (1 + r/f) K K',   exact if P was exact, since then P h = r K.
  void polish(const Scalar* h, Index e, Index size, Scalar r, Scalar f, const Scalar* K) noexcept {
    const Scalar q = project(P_, h, e, size, Scalar(0), M_);  // M = P h (s), q = h'P h (1)
    linalg::update_two(size, q + r * (Scalar(1) + r / f), K, M_, P_, s_);
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
      Scalar* const next = diffuse->gains + e * s_;
      for (Index l = 0; l < slot.head->size; ++l) {
        next[l] = (M_[l] - K[l] * f) * inverse;
      }
    }
    // P <- P + K₀K₀' f - K₀M' - M K₀'                                     (s×s)
    linalg::update_two(slot.head->size, f, K, M_, P_, s_);
    raise_scale(slot.head->size);
    if (tracking_) {
      update_rounding(slot.rows + e * n_, e, slot.head->size, K);
    }
    linalg::remove_direction(n_, rank_, a_, V_, columns_, scale_);
    --rank_;
    slot.use[e] = Use::diffuse;
    slot.variance[e] = F;
    slot.tolerance[e] = Scalar(0);
    slot.head->constant -= Scalar(0.5) * (diffuse_constant_ + std::log(F));
  }

  /// The finite part grows when a diffuse direction is determined: so does what its rounding is relative to.
  void raise_scale(Index size) noexcept {
    for (Index row = 0; row < size; ++row) {
      before_[row] = std::max(before_[row], P_[row * s_ + row]);
    }
  }

  /// |V|'|h| as a length: what |V'h| would be without cancellation.
  [[nodiscard]] Scalar reach(const Scalar* h) const noexcept {
    Scalar total(0);
    for (Index c = 0; c < rank_; ++c) {
      Scalar terms(0);
      for (Index row = 0; row < n_; ++row) {
        terms += std::abs(V_[row * columns_ + c] * h[row]);
      }
      total += terms * terms;
    }
    return std::sqrt(total);
  }

  /// sum_i |h_i| sqrt(P_ii) with P before the step, in the finite part: an upper bound of the standard deviation of h x.
  [[nodiscard]] Scalar deviation(const Scalar* h) const noexcept {
    Scalar total(0);
    for (Index row = 0; row < n_; ++row) {
      total += std::abs(h[row]) * std::sqrt(std::max(before_[row], Scalar(0)));
    }
    return total;
  }

  /// What components without noise determined is known exactly: P h = 0 for their rows, which rounding in small f has
  /// blurred, and variances that are rounding of what they were before the step are zero.
  void settle(const Slot<Scalar>& slot) noexcept {
    const Index size = slot.head->size;
    Index known = 0;
    for (Index e = 0; e < slot.head->count; ++e) {
      if (measurement_.noise()[e] == Scalar(0) && slot.use[e] != Use::exact) {
        known += orthonormal(slot.rows + e * n_, known) ? 1 : 0;
      }
    }
    for (Index c = 0; c < known; ++c) {
      clear_direction(basis_ + c * n_, size);
    }
    const Index snapped = model_.joint() ? 2 * n_ : n_;
    for (Index row = 0; row < snapped; ++row) {
      if (P_[row * s_ + row] <= std::max(rounding() * before_[row], tracking_ ? E_[row * s_ + row] : Scalar(0))) {
        for (Index l = 0; l < size; ++l) {
          P_[row * s_ + l] = Scalar(0);
          P_[l * s_ + row] = Scalar(0);
        }
      }
    }
  }

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
  void clear_direction(const Scalar* q, Index size) noexcept {
    Scalar* const y = scale_;
    Scalar* const g = work1_;
    for (Index l = 0; l < n_; ++l) {
      const Scalar deviation = std::sqrt(before_[l]);
      y[l] = deviation > Scalar(0) ? q[l] / deviation : Scalar(0);
      g[l] = deviation * q[l];
    }
    linalg::symmetric_matvec(size, n_, P_, s_, y, M_);
    const Scalar rest = linalg::dot(n_, y, M_);
    // P += g g' (y'P y) - g (P y)' - (P y) g'; g is zero beyond x
    for (Index row = 0; row < size; ++row) {
      const Scalar g_row = row < n_ ? g[row] : Scalar(0);
      for (Index col = 0; col <= row; ++col) {
        const Scalar g_col = col < n_ ? g[col] : Scalar(0);
        P_[row * s_ + col] += rest * g_row * g_col - (g_row * M_[col] + M_[row] * g_col);
      }
    }
  }

  [[nodiscard]] bool finite() const noexcept {
    Scalar total(0);
    for (Index row = 0; row < n_; ++row) {
      total += std::abs(P_[row * s_ + row]);
    }
    return std::isfinite(total);
  }

  [[nodiscard]] Scalar rounding() const noexcept {
    return static_cast<Scalar>(20 * (n_ + 2)) * Precision<Scalar>::epsilon;
  }

  [[nodiscard]] static Scalar square(Scalar value) noexcept { return value * value; }

  /// A measurement this much more precise than its prediction is polished.
  static constexpr Scalar precise = Scalar(1e-3);

  Model<Scalar> model_;
  Index n_;
  Index s_;
  Index columns_;
  Scalar diffuse_constant_;
  Measurement<Scalar> measurement_;
  Scalar* P_;
  Scalar* V_;
  Scalar* M_;
  Scalar* before_;
  Scalar* basis_;
  Scalar* E_;
  Scalar* blur_;
  Scalar* scale_;
  Scalar* a_;
  Scalar* work1_;
  Scalar* work2_;
  Scalar* work3_;
  Index rank_ = 0;
  bool tracking_ = false;  // whether E is kept: from the first component without noise on
  const Scalar* noise_cov_ = nullptr;
  Index noise_cov_ld_ = 0;
  const Scalar* noise_cross_ = nullptr;
  Index noise_cross_ld_ = 0;
};

static_assert(Form<Univariate<double>> && Form<Univariate<float>>, "the univariate form is a form");

}  // namespace kelman::linear
