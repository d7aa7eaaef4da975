// SPDX-License-Identifier: BSD-3-Clause
// The rows of one measurement, made ready to be processed one at a time.
//
// The observed components o of z_k (NaN = missing) give rows H_o, R_oo, S_o. Where R_oo = L D L' is not diagonal,
//
//   z~ = L⁻¹ z_o       H~ = L⁻¹ H_o       Cov v~ = D       Cov(w, v~) = S_o L⁻ᵀ
//
// so that the components of v~ are uncorrelated. What was made for the last step is used again if the matrices and the
// pattern of missing components are the same.
#pragma once

#include <cmath>

#include "kelman/core/workspace.hpp"
#include "kelman/linalg/ldl.hpp"
#include "kelman/linalg/product.hpp"
#include "kelman/linear/model.hpp"

namespace kelman::linear {

/// Marks the components of z that are not NaN in `mask` (m).
template <Real Scalar>
void observe(Index m, const Scalar* z, unsigned char* mask) noexcept {
  for (Index j = 0; j < m; ++j) {
    mask[j] = std::isnan(z[j]) ? 0 : 1;
  }
}

/// Rows of the measurement at one step; the arrays are valid until the next `prepare`.
template <Real Scalar>
class Measurement {
 public:
  Measurement(const Model<Scalar>& model, Workspace& memory)
      : model_(model),
        mask_(memory.take<unsigned char>(model.dims.m)),
        component_(memory.take<std::int32_t>(model.dims.m)),
        rows_(memory.take<Scalar>(model.dims.m * model.dims.n)),
        noise_(memory.take<Scalar>(model.dims.m)),
        chosen_(memory.take<Scalar>(model.dims.m * model.dims.m)),
        scratch_(memory.take<Scalar>(model.dims.m * model.dims.m)),
        mix_(memory.take<Scalar>(model.dims.m * model.dims.m)),
        columns_(model.wide() ? memory.take<Scalar>(model.dims.n * linalg::whole_registers<Scalar>(model.dims.m))
                              : nullptr),
        cross_(model.joint() ? memory.take<Scalar>(model.dims.m * model.dims.n) : nullptr) {}

  /// Prepares the rows of series `i` at time `k` for the components in `mask` (m). False if R is indefinite.
  [[nodiscard]] bool prepare(Index i, Index k, const unsigned char* mask) noexcept {
    const Scalar* const H = model_.H.at(i, k);
    const Scalar* const R = model_.R.at(i, k);
    const Scalar* const S = model_.joint() ? model_.S.at(i, k) : nullptr;
    const Index m = model_.dims.m;
    if (H == H_ && R == R_ && S == S_ && std::equal(mask, mask + m, mask_)) {
      return valid_;
    }
    H_ = H;
    R_ = R;
    S_ = S;
    std::copy_n(mask, m, mask_);
    valid_ = make();
    return valid_;
  }

  /// Forgets the last step; needed when the memory behind the model may have changed.
  void forget() noexcept { H_ = nullptr; }

  [[nodiscard]] Index count() const noexcept { return count_; }                        ///< observed components
  [[nodiscard]] const std::int32_t* component() const noexcept { return component_; }  ///< which they are (count)
  [[nodiscard]] const Scalar* rows() const noexcept { return rows_; }                  ///< H~ (count×n)
  /// H~' (n×count), rows in whole registers; for wide models.
  [[nodiscard]] const Scalar* columns() noexcept {
    if (!turned_) {
      linalg::transpose(count_, model_.dims.n, rows_, model_.dims.n, columns_, linalg::whole_registers<Scalar>(count_));
      turned_ = true;
    }
    return columns_;
  }
  [[nodiscard]] const Scalar* noise() const noexcept { return noise_; }                 ///< diagonal of D (count)
  [[nodiscard]] const Scalar* cross() const noexcept { return cross_; }                 ///< (S_o L⁻ᵀ)' (count×n)
  [[nodiscard]] const Scalar* mix() const noexcept { return mixed_ ? mix_ : nullptr; }  ///< L (count×count) or null
  [[nodiscard]] bool exact() const noexcept { return exact_; }  ///< whether a component has no noise at all

 private:
  bool make() noexcept {
    const Index n = model_.dims.n;
    const Index m = model_.dims.m;
    count_ = 0;
    turned_ = false;
    for (Index j = 0; j < m; ++j) {
      if (mask_[j] != 0) {
        component_[count_++] = static_cast<std::int32_t>(j);
      }
    }
    mixed_ = false;
    for (Index e = 0; e < count_; ++e) {
      const Index j = component_[e];
      std::copy_n(H_ + j * n, n, rows_ + e * n);
      noise_[e] = R_[j * m + j];
      for (Index l = 0; l < e; ++l) {
        chosen_[e * count_ + l] = R_[j * m + component_[l]];
        mixed_ = mixed_ || chosen_[e * count_ + l] != Scalar(0);
      }
      chosen_[e * count_ + e] = noise_[e];
      if (S_ != nullptr) {
        for (Index l = 0; l < n; ++l) {
          cross_[e * n + l] = S_[l * m + j];
        }
      }
    }
    if (mixed_) {
      if (!linalg::ldl(count_, chosen_, count_, mix_, count_, noise_, scratch_)) {
        return false;
      }
      linalg::solve_unit_lower(count_, n, mix_, count_, rows_, n);
      if (S_ != nullptr) {
        linalg::solve_unit_lower(count_, n, mix_, count_, cross_, n);
      }
    }
    exact_ = std::any_of(noise_, noise_ + count_, [](Scalar r) { return r == Scalar(0); });
    return true;
  }

  Model<Scalar> model_;
  const Scalar* H_ = nullptr;
  const Scalar* R_ = nullptr;
  const Scalar* S_ = nullptr;
  unsigned char* mask_;
  std::int32_t* component_;
  Scalar* rows_;
  Scalar* noise_;
  Scalar* chosen_;
  Scalar* scratch_;
  Scalar* mix_;
  Scalar* columns_;
  Scalar* cross_;
  Index count_ = 0;
  bool mixed_ = false;
  bool turned_ = false;
  bool exact_ = false;
  bool valid_ = true;
};

}  // namespace kelman::linear
