// SPDX-License-Identifier: BSD-3-Clause
// The recursion of the means, given the gains of a tape.
//
//   predict    x <- A x + b + B u + E w                     (n)
//   update     y = L⁻¹(z_o - c_o - D_o u)                   (count)
//              v = y_e - h x  (- the mean of v_e, with S),  x <- x + K v      one component after the other
//   log p      constant of the slot - 1/2 sum v²/f          over ordinary components
//
// There is one copy of this arithmetic: one series alone, a batch that shares its gains, the online handle and the
// smoother's forward pass all call it, and therefore agree to the bit.
#pragma once

#include <cmath>

#include "kelman/core/status.hpp"
#include "kelman/linalg/ldl.hpp"
#include "kelman/linear/tape.hpp"

namespace kelman::linear {

/// The mean of one series on its way through time.
template <Real Scalar>
struct MeanState {
  Scalar* x = nullptr;      ///< mean of the vector carried (s): x, and with S also w and v
  Scalar* reach = nullptr;  ///< largest |x_i| so far (n): what rounding in x_i is relative to
  double loglik = 0;        ///< log-likelihood so far, summed in double precision
  Outcome outcome;
};

/// Means of one thread; holds scratch only.
template <Real Scalar>
class Means {
 public:
  Means(const Model<Scalar>& model, Workspace& memory)
      : model_(model),
        n_(model.dims.n),
        m_(model.dims.m),
        s_(model.size()),
        next_(memory.take<Scalar>(n_)),
        y_(memory.take<Scalar>(m_)),
        magnitude_(memory.take<Scalar>(m_)) {}

  /// Takes the start of series `i`.
  void load(const Start<Scalar>& start, Index i, MeanState<Scalar>& state) const noexcept {
    resume(start.mean.at(i), start.noise_mean ? start.noise_mean.at(i) : nullptr, state);
  }

  /// Goes on from a mean x (n) and, with S, the mean of w (n; null = zero).
  void resume(const Scalar* x, const Scalar* w, MeanState<Scalar>& state) const noexcept {
    std::copy_n(x, n_, state.x);
    if (model_.joint()) {
      std::fill(state.x + n_, state.x + s_, Scalar(0));
      if (w != nullptr) {
        std::copy_n(w, n_, state.x + n_);
      }
    }
    std::fill_n(state.reach, n_, Scalar(0));
    state.loglik = 0;
    state.outcome = Outcome{};
  }

  /// x <- A x + b + B u + E w                                            (n) = (n×n)(n) + (n) + (n×p)(p) + (n)
  /// `u` is the driving input or null; `w` the mean of the noise for models without S (null = zero).
  [[gnu::noinline]] void predict(Index i, Index k, const Scalar* u, const Scalar* w, Scalar* x) noexcept;

  /// Uses the measurement z_k (m) with input u (p; null = none). Writes v to `residual` (count) unless null. Returns
  /// the contribution of the step to the log-likelihood.
  [[gnu::noinline]] Scalar update(Index i, Index k, const Scalar* z, const Scalar* u, const Slot<Scalar>& slot,
                                  MeanState<Scalar>& state, Scalar* residual) noexcept;

  /// z - c - D u - H x in the user's components (m); NaN where z is.
  void innovation(Index i, Index k, const Scalar* z, const Scalar* u, const Scalar* x, Scalar* out) const noexcept {
    const Scalar* const H = model_.H.at(i, k);
    for (Index j = 0; j < m_; ++j) {
      out[j] = corrected(i, k, j, z, u) - linalg::dot(n_, H + j * n_, x);
    }
  }

  /// Whether all of x (n) is finite.
  [[nodiscard]] bool finite(const Scalar* x) const noexcept {
    Scalar total(0);
    for (Index l = 0; l < n_; ++l) {
      total += std::abs(x[l]);
    }
    return std::isfinite(total);
  }

 private:
  /// z_j - c_j - (D u)_j
  [[nodiscard]] Scalar corrected(Index i, Index k, Index j, const Scalar* z, const Scalar* u) const noexcept {
    Scalar value = z[j];
    if (model_.c) {
      value -= model_.c.at(i, k)[j];
    }
    if (model_.D && u != nullptr) {
      value -= linalg::dot(model_.dims.p, model_.D.at(i, k) + j * model_.dims.p, u);
    }
    return value;
  }

  /// y = L⁻¹(z_o - c_o - D_o u); where components without noise will be compared, also the size of their terms.
  void observed(Index i, Index k, const Scalar* z, const Scalar* u, const Slot<Scalar>& slot) noexcept {
    for (Index e = 0; e < slot.head->count; ++e) {
      const Index j = slot.component[e];
      y_[e] = corrected(i, k, j, z, u);
      magnitude_[e] = std::abs(z[j]) + std::abs(y_[e]);
    }
    if (slot.head->mixed) {
      linalg::solve_unit_lower(slot.head->count, Index(1), slot.mix, slot.head->count, y_, Index(1));
      for (Index e = 1; e < slot.head->count; ++e) {
        for (Index l = 0; l < e; ++l) {
          magnitude_[e] = fused(std::abs(slot.mix[e * slot.head->count + l]), magnitude_[l], magnitude_[e]);
        }
      }
    }
  }

  void remember(MeanState<Scalar>& state) const noexcept {
    for (Index l = 0; l < n_; ++l) {
      state.reach[l] = std::max(state.reach[l], std::abs(state.x[l]));
    }
  }

  /// Whether v is zero to rounding, for a component that the model predicts exactly.
  [[nodiscard]] bool agrees(Scalar v, const Scalar* h, Index e, const Slot<Scalar>& slot,
                            const MeanState<Scalar>& state) const noexcept {
    Scalar terms = magnitude_[e] + slot.tolerance[e];
    for (Index l = 0; l < n_; ++l) {
      terms = fused(std::abs(h[l]), state.reach[l], terms);
    }
    return std::abs(v) <= Precision<Scalar>::agreement * terms;
  }

  Model<Scalar> model_;
  Index n_;
  Index m_;
  Index s_;
  Scalar* next_;
  Scalar* y_;
  Scalar* magnitude_;
};

template <Real Scalar>
void Means<Scalar>::predict(Index i, Index k, const Scalar* u, const Scalar* w, Scalar* x) noexcept {
  linalg::matvec(n_, n_, model_.A.at(i, k), n_, x, next_);
  if (model_.b) {
    linalg::axpy(n_, Scalar(1), model_.b.at(i, k), next_);
  }
  if (model_.B && u != nullptr) {
    const Scalar* const B = model_.B.at(i, k);
    for (Index row = 0; row < n_; ++row) {
      next_[row] += linalg::dot(model_.dims.p, B + row * model_.dims.p, u);
    }
  }
  const Scalar* const noise = model_.joint() ? x + n_ : w;
  if (noise != nullptr) {
    linalg::axpy(n_, Scalar(1), noise, next_);
  }
  std::copy_n(next_, n_, x);
}

template <Real Scalar>
Scalar Means<Scalar>::update(Index i, Index k, const Scalar* z, const Scalar* u, const Slot<Scalar>& slot,
                             MeanState<Scalar>& state, Scalar* residual) noexcept {
  Scalar* const x = state.x;
  if (model_.joint()) {
    std::fill(x + n_, x + s_, Scalar(0));
  }
  observed(i, k, z, u, slot);
  if (slot.head->exact) {
    remember(state);
  }
  Scalar quadratic(0);
  for (Index e = 0; e < slot.head->count; ++e) {
    const Scalar* const h = slot.rows + e * n_;
    Scalar v = y_[e] - linalg::dot(n_, h, x);
    if (model_.joint()) {
      v -= x[2 * n_ + e];
    }
    if (residual != nullptr) {
      residual[e] = v;
    }
    if (slot.use[e] == Use::exact) {
      if (!agrees(v, h, e, slot, state)) {
        state.outcome.report(Status::impossible_observation, k);
        quadratic = std::numeric_limits<Scalar>::infinity();
      }
      continue;
    }
    if (slot.use[e] == Use::ordinary) {
      quadratic += v * v / slot.variance[e];
    }
    linalg::axpy(slot.head->size, v, slot.gains + e * s_, x);
  }
  if (slot.head->exact) {
    remember(state);
  }
  return slot.head->constant - Scalar(0.5) * quadratic;
}

// compiled once, in cpp/instantiate/linear_forms.cpp
extern template void Means<double>::predict(Index, Index, const double*, const double*, double*) noexcept;
extern template void Means<float>::predict(Index, Index, const float*, const float*, float*) noexcept;
extern template double Means<double>::update(Index, Index, const double*, const double*, const Slot<double>&,
                                             MeanState<double>&, double*) noexcept;
extern template float Means<float>::update(Index, Index, const float*, const float*, const Slot<float>&,
                                           MeanState<float>&, float*) noexcept;

}  // namespace kelman::linear
