// SPDX-License-Identifier: BSD-3-Clause
// The Markov kernel of the way back: x_k given x_{k+1} and z_1..z_k.
//
//   x_k | x_{k+1}, Y_k ~ N(x_k|k + J (x_{k+1} - x_{k+1|k}), Ω)             J (n×n), Ω (n×n)
//   x_k|T = x_k|k + J (x_{k+1}|T - x_{k+1|k})
//   P_k|T = Ω + J P_{k+1}|T J'          Cov(x_{k+1}, x_k | all) = P_{k+1}|T J'
//
// P - P N P of backward.hpp loses (P_k|k / P_k|T)² of its digits where later measurements improve x_k by orders of
// magnitude, as after a vague or diffuse start; a sum of two covariances loses none. J and Ω come from conditioning
// (x_k, w_k) on the n components of x_{k+1} = A x_k + w_k, one at a time and exactly diffuse where x_k is: nothing is
// inverted, and singular Q and P are like any other.
// References: Rauch, Tung & Striebel 1965; Anderson & Moore 1979, 7.4.
#pragma once

#include <cmath>

#include "kelman/core/workspace.hpp"
#include "kelman/linalg/factor.hpp"
#include "kelman/linalg/product.hpp"

namespace kelman::linear {

template <Real Scalar>
class BackwardKernel {
 public:
  BackwardKernel(Index n, Index columns, Workspace& memory)
      : n_(n),
        columns_(columns),
        Y_(memory.take<Scalar>(4 * n * n)),
        map_(memory.take<Scalar>(2 * n * n)),
        V_(memory.take<Scalar>(n * columns)),
        a_(memory.take<Scalar>(columns)),
        scale_(memory.take<Scalar>(n)),
        deviation_(memory.take<Scalar>(2 * n)),
        M_(memory.take<Scalar>(2 * n)),
        K_(memory.take<Scalar>(2 * n)),
        functional_(memory.take<Scalar>(n)) {}

  /// What is known of (x_k, w_k) given z_1..z_k.
  struct Filtered {
    const Scalar* P;  ///< Cov x (n×n)
    const Scalar* C;  ///< Cov(x, w) (n×n), or null for zero
    const Scalar* W;  ///< Cov w (n×n), or null for zero
    const Scalar* V;  ///< factor of the diffuse part (n×columns)
    Index rank;       ///< its columns in use
  };

  /// Conditions on x_{k+1} = A x_k + w_k. False if part of x_k stays diffuse, for A does not let it through.
  [[nodiscard]] bool condition(const Scalar* A, const Filtered& known) noexcept {
    begin(known);
    for (Index j = 0; j < n_; ++j) {
      component(A + j * n_, j);
    }
    linalg::mirror(2 * n_, Y_, 2 * n_);
    for (Index row = 0; row < n_; ++row) {  // what x_{k+1} determines is known exactly
      if (Y_[row * 2 * n_ + row] <= rounding() * deviation_[row] * deviation_[row]) {
        for (Index l = 0; l < 2 * n_; ++l) {
          Y_[row * 2 * n_ + l] = Scalar(0);
          Y_[l * 2 * n_ + row] = Scalar(0);
        }
      }
    }
    return rank_ == 0;
  }

  /// J (n×n), contiguous.
  [[nodiscard]] const Scalar* gain() const noexcept { return map_; }

  /// P = Ω + J P⁺ J' and, unless null, lag = P⁺ J', from the smoothed covariance P⁺ of x_{k+1}.     (n×n)
  void smooth(const Scalar* next, Scalar* P, Scalar* lag) noexcept {
    Scalar* const transposed = map_ + n_ * n_;  // the half of the map that belongs to w is not needed any more
    linalg::transpose(n_, n_, map_, n_, transposed, n_);
    Scalar* const product = lag != nullptr ? lag : product_scratch();
    linalg::multiply(n_, n_, n_, next, n_, transposed, n_, product, n_);
    linalg::multiply_symmetric<Scalar>(n_, n_, {map_, n_, 1}, product, n_, {linalg::Into::add, P, n_, Y_, 2 * n_});
    linalg::mirror(n_, P, n_);
  }

 private:
  [[nodiscard]] Scalar* product_scratch() noexcept { return Y_ + 2 * n_ * n_; }  // the rows of w in Y

  void begin(const Filtered& known) noexcept {
    const Index size = 2 * n_;
    std::fill_n(Y_, size * size, Scalar(0));
    std::fill_n(map_, size * n_, Scalar(0));
    linalg::copy_block(n_, n_, known.P, n_, Y_, size);
    if (known.C != nullptr) {
      linalg::copy_block(n_, n_, known.C, n_, Y_ + n_, size);
      linalg::transpose(n_, n_, known.C, n_, Y_ + n_ * size, size);
    }
    if (known.W != nullptr) {
      linalg::copy_block(n_, n_, known.W, n_, Y_ + n_ * size + n_, size);
    }
    for (Index l = 0; l < size; ++l) {
      deviation_[l] = std::sqrt(std::max(Y_[l * size + l], Scalar(0)));
    }
    rank_ = known.rank;
    if (rank_ > 0) {
      linalg::copy_block(n_, rank_, known.V, columns_, V_, columns_);
    }
  }

  /// M = Y (a, e_j)', returns (a, e_j) M                                                     (2n) = (2n×2n)(2n)
  [[nodiscard]] Scalar project(const Scalar* a, Index j) noexcept {
    linalg::symmetric_matvec(2 * n_, n_, Y_, 2 * n_, a, M_);
    linalg::add_column(2 * n_, n_ + j, Y_, 2 * n_, M_);
    return linalg::dot(n_, a, M_) + M_[n_ + j];
  }

  /// Conditions on component j of x_{k+1}: the row (a, e_j) of (x_k, w_k), without noise.
  void component(const Scalar* a, Index j) noexcept {
    const Index size = 2 * n_;
    const Scalar f = project(a, j);
    if (rank_ > 0) {
      linalg::matvec_transposed(n_, rank_, V_, columns_, a, a_);
      const Scalar F = linalg::dot(rank_, a_, a_);
      const Scalar reach = diffuse_reach(a) * Precision<Scalar>::diffuse;
      if (F > reach * reach) {
        std::fill_n(K_ + n_, n_, Scalar(0));
        for (Index row = 0; row < n_; ++row) {
          K_[row] = linalg::dot(rank_, V_ + row * columns_, a_) / F;
        }
        linalg::update_two(size, f, K_, M_, Y_, size);
        linalg::remove_direction(n_, rank_, a_, V_, columns_, scale_);
        --rank_;
        for (Index l = 0; l < n_; ++l) {
          deviation_[l] = std::max(deviation_[l], std::sqrt(std::max(Y_[l * size + l], Scalar(0))));
        }
        extend(a, j);
        return;
      }
    }
    Scalar scale = deviation_[n_ + j];
    for (Index l = 0; l < n_; ++l) {
      scale = fused(std::abs(a[l]), deviation_[l], scale);
    }
    if (!(f > rounding() * scale * scale)) {
      return;  // the components before it say it already
    }
    for (Index l = 0; l < size; ++l) {
      K_[l] = M_[l] / f;
    }
    linalg::downdate(size, K_, M_, Y_, size);
    linalg::update_two(size, project(a, j), K_, M_, Y_, size);  // once more from both sides: Y (a, e_j)' = 0
    extend(a, j);
  }

  /// The map from the innovation of x_{k+1} to (x_k, w_k) gets K times this component's part that is new.
  void extend(const Scalar* a, Index j) noexcept {
    linalg::matvec_transposed(n_, n_, map_, n_, a, functional_);
    for (Index l = 0; l < n_; ++l) {
      functional_[l] = -functional_[l] - map_[(n_ + j) * n_ + l];
    }
    functional_[j] += Scalar(1);
    for (Index row = 0; row < 2 * n_; ++row) {
      linalg::axpy(n_, K_[row], functional_, map_ + row * n_);
    }
  }

  [[nodiscard]] Scalar diffuse_reach(const Scalar* a) const noexcept {
    Scalar total(0);
    for (Index c = 0; c < rank_; ++c) {
      Scalar terms(0);
      for (Index row = 0; row < n_; ++row) {
        terms = fused(std::abs(V_[row * columns_ + c]), std::abs(a[row]), terms);
      }
      total = fused(terms, terms, total);
    }
    return std::sqrt(total);
  }

  [[nodiscard]] Scalar rounding() const noexcept {
    return static_cast<Scalar>(20 * (n_ + 2)) * Precision<Scalar>::epsilon;
  }

  Index n_;
  Index columns_;
  Index rank_ = 0;
  Scalar* Y_;
  Scalar* map_;
  Scalar* V_;
  Scalar* a_;
  Scalar* scale_;
  Scalar* deviation_;
  Scalar* M_;
  Scalar* K_;
  Scalar* functional_;
};

}  // namespace kelman::linear
