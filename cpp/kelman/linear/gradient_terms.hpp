// SPDX-License-Identifier: BSD-3-Clause
// What each step adds to the derivatives, given the adjoint r, N of adjoint.hpp there.
//
// With u = r_v and the moments x, P before and x_f, P_f after the components of a step,
//
//   dH += u (x + P r_x)' - N_vx P           dD += u u_k'     dc += u          (m×n), (m×p), (m)
//   dR += (u u' - N_vv) / 2                 dQ += (r_w r_w' - N_ww) / 2       (m×m), (n×n)
//   dS += r_w u' - N_wv                                                       (n×m)
//   dA += r_x x_f' + (r_x r_x' - N_xx) X    dB += r_x u_k'   db += r_x        (n×n), (n×p), (n)
//
// X = A P_f + C' is the covariance of the state with the one before (C = Cov(x, w)); without S the adjoint of w_k is
// that of x_{k+1}. With a diffuse part V V', a product (a r_x' - N_ax) P gains (a q' - W_a) V'. The rows of a
// dense R were decorrelated, v~ = L⁻¹ v, so derivatives by v are L⁻ᵀ times those by v~.
#pragma once

#include "kelman/linear/adjoint.hpp"
#include "kelman/linear/form_passage.hpp"
#include "kelman/linear/gradient_sums.hpp"

namespace kelman::linear {

template <Real Scalar>
class GradientTerms {
 public:
  GradientTerms(const FilterProblem<Scalar>& problem, const Adjoint<Scalar>& adjoint, Workspace& memory)
      : problem_(problem),
        adjoint_(adjoint),
        n_(problem.model.dims.n),
        p_(problem.model.dims.p),
        columns_(problem.start.columns),
        weight_(memory.take<Scalar>(wide() * wide())),
        product_(memory.take<Scalar>(wide() * wide())),
        cross_(memory.take<Scalar>(n_ * n_)),
        moved_(memory.take<Scalar>(n_ * columns_)),
        narrow_(memory.take<Scalar>(columns_)),
        u_(memory.take<Scalar>(problem.model.dims.m)) {}

  /// dH, D, c, R (and Q, S of a model with S) of the measurement at time k; `before` is what was known before it.
  [[gnu::noinline]] void measurement(Index i, Index k, const Slot<Scalar>& slot, const Known<Scalar>& before,
                                     GradientSums& sums) noexcept {
    const GradientResult<double>& to = sums.fields;
    const Index v = adjoint_.noise();
    const Index count = slot.head->count;
    weigh(count, v);
    linalg::multiply(count, n_, n_, weight_, n_, before.P, n_, product_, n_);
    if (before.rank > 0) {
      spread(count, v, before);
    }
    add_outer(count, adjoint_.r() + v, before.x);
    unmix(slot, n_, product_);
    scatter(slot, product_, to.H, k, n_, Index(1));

    std::copy_n(adjoint_.r() + v, count, u_);
    unmix(slot, 1, u_);
    scatter(slot, u_, to.c, k, Index(1), Index(1), Index(1));
    input(slot, problem_.data.direct_input(i, k), to.D, k);
    noise_of(slot, to.R, k);
    if (problem_.model.joint()) {
      covariance(n_, to.Q, k);
      for (Index e = 0; e < count; ++e) {
        for (Index l = 0; l < n_; ++l) {
          product_[e * n_ + l] = moment(v + e, n_ + l);
        }
      }
      unmix(slot, n_, product_);
      scatter(slot, product_, to.S, k, Index(1), problem_.model.dims.m);
    }
  }

  /// dA, B, b of the transition into x_k, and without S that by the covariance of its noise, in entry `j` of `noise`;
  /// `before` is what was known of (x_{k-1}, w_{k-1}).
  [[gnu::noinline]] void transition(Index i, Index k, const Known<Scalar>& before, const Field<double>& noise, Index j,
                                    GradientSums& sums) noexcept {
    const GradientResult<double>& to = sums.fields;
    const Scalar* const A = problem_.model.A.at(i, k);
    linalg::multiply(n_, n_, n_, A, n_, before.P, n_, cross_, n_);
    for (Index row = 0; row < n_ && before.C != nullptr; ++row) {
      for (Index col = 0; col < n_; ++col) {
        cross_[row * n_ + col] += before.C[col * n_ + row];
      }
    }
    weigh(n_, 0);
    linalg::multiply(n_, n_, n_, weight_, n_, cross_, n_, product_, n_);
    if (before.rank > 0) {
      spread(n_, 0, before);
    }
    const Scalar* const r = adjoint_.r();
    add_outer(n_, r, before.x);
    add(n_ * n_, product_, to.A, k);
    add(n_, r, to.b, k);
    if (k == 0) {
      add(n_, r, to.noise_mean, 0);
    }
    const Scalar* const u = problem_.data.driving_input(problem_.model.input_lag, i, k);
    for (Index row = 0; to.B && u != nullptr && row < n_; ++row) {
      axpy(p_, r[row], u, to.B.at(0, k) + row * p_);
    }
    if (noise) {
      covariance(0, noise, j);
    }
  }

  /// By the moments of the state at the start, of which the adjoint speaks now; `mean` (n) is overwritten.
  [[gnu::cold, gnu::noinline]] void start(const Known<Scalar>& known, Scalar* mean, GradientSums& sums) noexcept {
    std::copy_n(adjoint_.r(), n_, mean);
    covariance(0, sums.fields.cov, 0);
    for (Index row = 0; sums.fields.inf && row < n_; ++row) {
      axpy(known.rank, Scalar(1), vague(row, known.rank), sums.fields.inf.at(0) + row * columns_);
    }
  }

  /// The diffuse factor before the measurement at time k, A V of the one before it (n×columns); overwritten by the
  /// next call.
  [[nodiscard, gnu::cold, gnu::noinline]] const Scalar* moved(Index i, Index k, const Known<Scalar>& before) noexcept {
    linalg::multiply(n_, n_, before.rank, problem_.model.A.at(i, k), n_, before.V, columns_, moved_, columns_);
    return moved_;
  }

 private:
  [[nodiscard]] Index wide() const noexcept { return std::max(n_, problem_.model.dims.m); }

  /// a_row a_col - N_row,col
  [[nodiscard]] Scalar moment(Index row, Index col) const noexcept {
    return fused(adjoint_.r()[row], adjoint_.r()[col], -adjoint_.N()[row * adjoint_.ld() + col]);
  }

  /// a_row q' - W_row                                                                                     (rank)
  [[nodiscard]] const Scalar* vague(Index row, Index rank) noexcept {
    for (Index c = 0; c < rank; ++c) {
      narrow_[c] = fused(adjoint_.r()[row], adjoint_.q()[c], -adjoint_.W()[row * columns_ + c]);
    }
    return narrow_;
  }

  /// weight = a r_x' - N_ax for `rows` entries of the vector from `offset` on.                             (rows×n)
  void weigh(Index rows, Index offset) noexcept {
    for (Index row = 0; row < rows; ++row) {
      for (Index col = 0; col < n_; ++col) {
        weight_[row * n_ + col] = moment(offset + row, col);
      }
    }
  }

  /// product += (a q' - W_a) V', V the factor of `known`                                     (rows×n) += (rows×d)(d×n)
  [[gnu::cold, gnu::noinline]] void spread(Index rows, Index offset, const Known<Scalar>& known) noexcept {
    for (Index row = 0; row < rows; ++row) {
      const Scalar* const weight = vague(offset + row, known.rank);
      for (Index col = 0; col < n_; ++col) {
        product_[row * n_ + col] += linalg::dot(known.rank, weight, known.V + col * columns_);
      }
    }
  }

  /// product += a x'                                                                        (rows×n) += (rows)(1×n)
  void add_outer(Index rows, const Scalar* a, const Scalar* x) noexcept {
    for (Index row = 0; row < rows; ++row) {
      linalg::axpy(n_, a[row], x, product_ + row * n_);
    }
  }

  /// X <- L⁻ᵀ X                                                                                           (count×c)
  static void unmix(const Slot<Scalar>& slot, Index cols, Scalar* X) noexcept {
    const Index count = slot.head->count;
    for (Index row = count; slot.head->mixed && row-- > 0;) {
      for (Index e = row + 1; e < count; ++e) {
        linalg::axpy(cols, -slot.mix[e * count + row], X + e * cols, X + row * cols);
      }
    }
  }

  /// dR: L⁻ᵀ (u u' - N_vv) L⁻¹ / 2
  void noise_of(const Slot<Scalar>& slot, const Field<double>& to, Index k) noexcept {
    const Index v = adjoint_.noise();
    const Index count = slot.head->count;
    const Index m = problem_.model.dims.m;
    for (Index row = 0; row < count; ++row) {
      for (Index col = 0; col < count; ++col) {
        product_[row * count + col] = moment(v + row, v + col);
      }
    }
    unmix(slot, count, product_);
    linalg::transpose(count, count, product_, count, weight_, count);
    unmix(slot, count, weight_);
    for (Index row = 0; to && row < count; ++row) {
      for (Index col = 0; col < count; ++col) {
        to.at(0, k)[slot.component[row] * m + slot.component[col]] +=
            0.25 * static_cast<double>(weight_[row * count + col] + weight_[col * count + row]);
      }
    }
  }

  /// to += u u_k' by components
  void input(const Slot<Scalar>& slot, const Scalar* given, const Field<double>& to, Index k) const noexcept {
    for (Index e = 0; to && given != nullptr && e < slot.head->count; ++e) {
      axpy(p_, u_[e], given, to.at(0, k) + slot.component[e] * p_);
    }
  }

  /// Adds rows of X (count×cols) to the components they belong to: entry (e, l) goes to [j_e major + l minor].
  void scatter(const Slot<Scalar>& slot, const Scalar* X, const Field<double>& to, Index k, Index major, Index minor,
               Index cols = 0) const noexcept {
    const Index width = cols > 0 ? cols : n_;
    for (Index e = 0; to && e < slot.head->count; ++e) {
      for (Index l = 0; l < width; ++l) {
        to.at(0, k)[slot.component[e] * major + l * minor] += static_cast<double>(X[e * width + l]);
      }
    }
  }

  /// to += (r r' - N) / 2 for n entries of the vector from `offset` on                                       (n×n)
  void covariance(Index offset, const Field<double>& to, Index k) const noexcept {
    for (Index row = 0; to && row < n_; ++row) {
      for (Index col = 0; col < n_; ++col) {
        to.at(0, k)[row * n_ + col] += 0.5 * static_cast<double>(moment(offset + row, offset + col));
      }
    }
  }

  static void add(Index count, const Scalar* from, const Field<double>& to, Index k) noexcept {
    if (to) {
      axpy(count, Scalar(1), from, to.at(0, k));
    }
  }

  static void axpy(Index count, Scalar alpha, const Scalar* x, double* y) noexcept {
    for (Index l = 0; l < count; ++l) {
      y[l] += static_cast<double>(alpha) * static_cast<double>(x[l]);
    }
  }

  FilterProblem<Scalar> problem_;
  const Adjoint<Scalar>& adjoint_;
  Index n_;
  Index p_;
  Index columns_;
  Scalar* weight_;
  Scalar* product_;
  Scalar* cross_;
  Scalar* moved_;
  Scalar* narrow_;
  Scalar* u_;
};

}  // namespace kelman::linear
