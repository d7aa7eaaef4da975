// SPDX-License-Identifier: BSD-3-Clause
// What the drivers (filter, smoother, online) require of a form of the covariance recursion.
//
// A form carries the covariances of one series and turns each measurement into a slot of gains, one observed component
// after the other; means follow from the slots alone. A new form is a new header that satisfies this concept.
#pragma once

#include <concepts>

#include "kelman/core/status.hpp"
#include "kelman/linear/tape.hpp"

namespace kelman::linear {

/// Second moments that a form holds between two steps; row-major with the given row lengths.
template <Real Scalar>
struct Moments {
  const Scalar* cov = nullptr;  ///< P, finite part (n×n)
  Index cov_ld = 0;
  const Scalar* factor = nullptr;  ///< V of the diffuse part V V' (n×rank)
  Index factor_ld = 0;
  Index rank = 0;
  const Scalar* noise_cov = nullptr;  ///< Cov w of the noise that leads to the next state (n×n)
  Index noise_cov_ld = 0;
  const Scalar* noise_cross = nullptr;  ///< Cov(x, w) (n×n), or null for zero
  Index noise_cross_ld = 0;
  const Scalar* rounding = nullptr;  ///< what the form knows of its own rounding (s×s), or null; opaque
};

/// A covariance recursion. `load` starts series i; `predict` leads to time k; `update` uses the components in `mask`.
template <class F>
concept Form =
    requires(F form, const F& fixed, const Start<typename F::scalar>& start, const Moments<typename F::scalar>& moments,
             Index i, Index k, const unsigned char* mask, const Slot<typename F::scalar>& slot,
             DiffuseSlot<typename F::scalar>* diffuse, typename F::scalar* out) {
      { form.load(start, i) } -> std::same_as<void>;
      { form.resume(moments) } -> std::same_as<void>;
      { form.predict(i, k) } -> std::same_as<Status>;
      { form.update(i, k, mask, slot, diffuse) } -> std::same_as<Status>;
      { form.innovation_cov(i, k, out) } -> std::same_as<void>;
      { fixed.moments() } -> std::same_as<Moments<typename F::scalar>>;
    };

}  // namespace kelman::linear
