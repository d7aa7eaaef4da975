// SPDX-License-Identifier: BSD-3-Clause
// The smoother: moments of every state given all measurements.
//
// Four passes: covariances forward (gains to a tape), covariances backward, means forward (innovations kept), means
// backward. By the recursions of backward.hpp,
//
//   x_k|T = x_k|k + P_k|k r,   P_k|T = P_k|k - P_k|k N P_k|k      r, N: what the measurements after k say
//
// and, at the steps where those would lose more digits, from step k+1 by the kernel of kernel.hpp. Series that share
// their covariances go through the first two passes once.
#pragma once

#include <limits>
#include <memory>
#include <vector>

#include "kelman/linear/backward.hpp"
#include "kelman/linear/filter.hpp"
#include "kelman/linear/history.hpp"
#include "kelman/linear/kernel.hpp"
#include "kelman/linear/settling.hpp"

namespace kelman::linear {

/// Covariances there and back for one series, or for all that share them.
template <Form F>
class CovarianceSmoother {
 public:
  using Scalar = typename F::scalar;

  /// `repeats`: whether whoever reads the history knows of steps that repeat the one before.
  CovarianceSmoother(const FilterProblem<Scalar>& problem, const SmootherResult<Scalar>& result, bool repeats,
                     Workspace& memory)
      : problem_(problem),
        result_(result),
        n_(problem.model.dims.n),
        form_(problem.model, problem.start.columns, problem.diffuse_constant, memory),
        back_(problem.model, problem.start.columns, memory),
        kernel_(n_, problem.start.columns, memory),
        settling_(problem, repeats, memory),
        N_before_(memory.take<Scalar>(n_ * n_)),
        mask_(memory.take<unsigned char>(problem.model.dims.m)),
        scratch_(memory.take<Scalar>(n_ * n_)) {}

  /// Fills the history, and the lag-one results with predicted covariances for the time being.
  [[nodiscard, gnu::noinline]] Outcome forward(Index i, Index length, History<Scalar>& history, Interrupt& stop) {
    Outcome outcome;
    history.diffuse.clear();
    form_.load(problem_.start, i);
    settling_.clear();
    for (Index k = 0; k < length && !(k % look_every == 0 && stop.check()); ++k) {
      observe(problem_.model.dims.m, problem_.data.z.at(i, k), mask_);
      if (settling_.repeats(mask_)) {
        steady_ = true;
        history.tape.repeat(k, k - 1);
        repeat(result_.filtered_cov, i, k, k - 1);
        repeat(result_.lag_one_cov, i, k, k - 1);
        continue;
      }
      history.tape.own(k);
      const bool diffuse = form_.moments().rank > 0;
      if (k > 0 || problem_.start.before_first) {
        outcome.report(form_.predict(i, k), k);
      }
      if (result_.lag_one_cov) {
        const auto moments = form_.moments();
        linalg::copy_block(n_, n_, moments.cov, moments.cov_ld, result_.lag_one_cov.at(i, k), n_);
      }
      settling_.predicted(k, form_.moments(), mask_);
      if (outcome.usable()) {
        outcome.report(form_.update(i, k, mask_, history.tape.at(k), diffuse ? &history.diffuse.append() : nullptr), k);
      }
      if (!outcome.usable()) {
        return outcome;
      }
      const auto moments = form_.moments();
      linalg::copy_block(n_, n_, moments.cov, moments.cov_ld, history.cov_at(k), n_);
      if (history.cross != nullptr) {
        linalg::copy_block(n_, n_, moments.noise_cross, moments.noise_cross_ld, history.cross_at(k), n_);
        linalg::copy_block(n_, n_, moments.noise_cov, moments.noise_cov_ld, history.noise_at(k), n_);
      }
    }
    return outcome;
  }

  /// Fills the covariance results, and leaves the gains of the steps that went by their kernel.
  [[gnu::noinline]] void backward(Index i, Index length, History<Scalar>& history, Interrupt& stop) {
    back_.clear();
    history.kernels.clear();
    bool settled = false;  // step k+1, and N before it
    const Index last = history.diffuse.count();
    // directions that are diffuse to the end have no kernel
    resolved_ = last < length || last == 0 || history.diffuse.at(last - 1).rank == 0;
    for (Index k = length; k-- > 0;) {
      if (k % look_every == 0 && stop.check()) {
        return;
      }
      const DiffuseSlot<Scalar>* const diffuse = history.diffuse_at(k);
      const Scalar* const cross = history.cross_at(k);
      Scalar* const lag = result_.lag_one_cov && k + 1 < length ? result_.lag_one_cov.at(i, k + 1) : nullptr;
      if (settled && history.repeats(k + 1)) {
        repeat(result_.cov, i, k, k + 1);
        repeat(result_.lag_one_cov, i, k + 1, k + 2);
        continue;
      }
      history.prefetch_cov(k - 1);
      if (k + 1 < length) {
        const Scalar* const A = problem_.model.A.at(i, k + 1);
        if (lag != nullptr) {
          back_.lag_one(A, history.cov_at(k), cross, n_, diffuse != nullptr ? diffuse->V : nullptr,
                        diffuse != nullptr ? diffuse->rank : 0, lag);
        }
        back_.transition(A, k + 1 < last);
      }
      Scalar* const P = result_.cov.at(i, k);
      back_.smooth(history.cov_at(k), cross, diffuse, P);
      const Index rank = diffuse != nullptr ? diffuse->rank : 0;
      bool regular = true;  // whether the step goes by r and N
      Scalar error = variance(history.cov_at(k)) +
                     back_.magnitude(variance(history.cov_at(k)), rank > 0 ? vague(*diffuse) : Scalar(0));
      if (k + 1 < length && resolved_ && (rank > 0 || lossy(history.cov_at(k), P))) {
        const Scalar* const W = cross != nullptr ? history.noise_at(k) : problem_.model.Q.at(i, k);
        resolved_ = kernel_.condition(problem_.model.A.at(i, k + 1),
                                      {history.cov_at(k), cross, W, rank > 0 ? diffuse->V : nullptr, rank});
        const Scalar other = kernel_error(history.cov_at(k), error_);
        if (resolved_ && other < trusted * error) {
          error = other;
          regular = false;
          history.kernels.append(k, kernel_.gain());
          kernel_.smooth(result_.cov.at(i, k + 1), P, lag);
        }
      }
      error_ = error;
      history.prefetch_gains(k - 1);
      back_.measurement(history.tape.at(k), diffuse);
      const bool same = settling_.possible() && back_settled(k);
      settled = same && regular && k + 1 < length && history.repeats(k + 1);
    }
    if (result_.lag_one_cov && problem_.start.before_first && length > 0) {
      before_first(i);
    }
  }

  /// Whether the covariances of some series were constant from some step on.
  [[nodiscard]] bool steady() const noexcept { return steady_; }

  /// NaN where nothing was computed: everything of a failed series, what is beyond its end, and the first lag-one
  /// covariance where nothing precedes the first state. `reached`: steps that were filtered.
  void blank_rest(Index i, Index from, Index reached) const noexcept {
    const Index T = problem_.model.dims.T;
    blank(result_.cov, i, from, T, n_ * n_, false);
    blank(result_.filtered_cov, i, reached, T, n_ * n_, false);
    blank(result_.lag_one_cov, i, from, T, n_ * n_, false);
    if (!problem_.start.before_first && T > 0) {
      blank(result_.lag_one_cov, i, Index(0), Index(1), n_ * n_, false);
    }
  }

 private:
  static constexpr Index look_every = 16;

  /// How much larger the kernel's bound may be: N has gathered the errors of all later steps, and the bound of its
  /// terms does not know them. On random models of every kind 1e5 to 1e7 are the best values, and much alike.
  static constexpr Scalar trusted = Scalar(1e6);

  /// Copies entry `source` of a result, if it is kept, to entry k.
  void repeat(const Field<Scalar>& field, Index i, Index k, Index source) const noexcept {
    if (field) {
      std::copy_n(field.at(i, source), n_ * n_, field.at(i, k));
    }
  }

  /// Whether N before step k is what it was before step k+1; looks at two steps of eight.
  [[nodiscard]] bool back_settled(Index k) noexcept {
    const bool same = k % 8 == 6 && linear::settled(n_, back_.N(), n_, N_before_, n_);
    if (k % 8 == 7) {
      linalg::copy_block(n_, n_, back_.N(), n_, N_before_, n_);
    }
    return same;
  }

  /// Whether P - P N P lost digits: some variance fell by orders of magnitude.
  [[nodiscard]] bool lossy(const Scalar* filtered, const Scalar* smoothed) const noexcept {
    constexpr Scalar much = Scalar(64);
    for (Index l = 0; l < n_ * n_; l += n_ + 1) {
      if (!(smoothed[l] * much >= filtered[l])) {
        return true;
      }
    }
    return false;
  }

  /// Largest diagonal entry of P (n×n).
  [[nodiscard]] Scalar variance(const Scalar* P) const noexcept {
    Scalar top(0);
    for (Index l = 0; l < n_ * n_; l += n_ + 1) {
      top = std::max(top, P[l]);
    }
    return top;
  }

  /// Largest diagonal entry of V V'.
  [[nodiscard]] Scalar vague(const DiffuseSlot<Scalar>& diffuse) const noexcept {
    Scalar top(0);
    for (Index row = 0; row < n_; ++row) {
      const Scalar* const v = diffuse.V + row * problem_.start.columns;
      top = std::max(top, linalg::dot(diffuse.rank, v, v));
    }
    return top;
  }

  /// Error of the kernel's sum in units of the machine epsilon: its own rounding, and that of P_{k+1}|T times |J|².
  [[nodiscard]] Scalar kernel_error(const Scalar* filtered, Scalar later) const noexcept {
    const Scalar* const J = kernel_.gain();
    return variance(filtered) + linalg::dot(n_ * n_, J, J) * later;
  }

  /// Entry 0: Cov(x_1, x_0 | all).
  void before_first(Index i) noexcept {
    const Start<Scalar>& start = problem_.start;
    const Scalar* const A = problem_.model.A.at(i, 0);
    const Scalar* const C = start.noise_cross ? start.noise_cross.at(i) : nullptr;
    const Scalar* const W = start.noise_cov ? start.noise_cov.at(i) : nullptr;
    const Scalar* const V = start.inf ? start.inf.at(i) : nullptr;
    const Index rank = start.inf ? static_cast<Index>(*start.rank.at(i)) : 0;
    Scalar* const lag = result_.lag_one_cov.at(i, 0);
    if (resolved_ && kernel_.condition(A, {start.cov.at(i), C, W, V, rank})) {
      kernel_.smooth(result_.cov.at(i, 0), scratch_, lag);
    } else {
      back_.lag_one(A, start.cov.at(i), C, n_, V, rank, lag);
    }
  }

  FilterProblem<Scalar> problem_;
  SmootherResult<Scalar> result_;
  Index n_;
  F form_;
  BackwardCovariance<Scalar> back_;
  BackwardKernel<Scalar> kernel_;
  Settling<Scalar> settling_;
  Scalar* N_before_;  // of the step after (n×n)
  unsigned char* mask_;
  Scalar* scratch_;
  Scalar error_ = Scalar(0);  // of the smoothed covariance at the step after, in units of the machine epsilon
  bool resolved_ = true;
  bool steady_ = false;
};

/// Means there and back for one series, given the history of its covariances.
template <Real Scalar>
class MeanSmoother {
 public:
  MeanSmoother(const FilterProblem<Scalar>& problem, const SmootherResult<Scalar>& result, Workspace& memory)
      : problem_(problem),
        result_(result),
        n_(problem.model.dims.n),
        means_(problem.model, memory),
        back_(problem.model, memory),
        residual_(memory.take<Scalar>(problem.model.dims.T * problem.model.dims.m)),
        columns_(problem.start.columns) {
    state_.x = memory.take<Scalar>(problem.model.size());
    state_.reach = memory.take<Scalar>(n_);
  }

  /// Both passes; `trouble` is what befell the covariances.
  [[nodiscard, gnu::noinline]] Outcome run(Index i, Index length, const History<Scalar>& history,
                                           const Outcome& trouble, Interrupt& stop) {
    means_.load(problem_.start, i, state_);
    if (history.kernels.count() > 0 && predicted_ == nullptr) {
      predicted_ = memory_.template take<Scalar>(problem_.model.dims.T * n_);
    }
    const Index reached = trouble.usable() ? length : trouble.at;
    forward(i, reached, history, stop);
    if (state_.outcome.usable() && !trouble.usable()) {
      state_.outcome = trouble;
    }
    const bool failed = !state_.outcome.usable();
    if (!failed) {
      backward(i, length, history, stop);
    }
    blank(result_.mean, i, failed ? Index(0) : length, problem_.model.dims.T, n_, false);
    blank(result_.filtered_mean, i, failed ? state_.outcome.at : length, problem_.model.dims.T, n_, false);
    *result_.loglik.at(i) = failed ? std::numeric_limits<Scalar>::quiet_NaN() : static_cast<Scalar>(state_.loglik);
    *result_.status.at(i) = static_cast<std::int32_t>(state_.outcome.status);
    *result_.failed_at.at(i) = static_cast<std::int64_t>(state_.outcome.at);
    return state_.outcome;
  }

 private:
  static constexpr Index look_every = 64;

  void forward(Index i, Index length, const History<Scalar>& history, Interrupt& stop) noexcept {
    const Data<Scalar>& data = problem_.data;
    const Index m = problem_.model.dims.m;
    for (Index k = 0; k < length && state_.outcome.usable(); ++k) {
      if (k % look_every == 0 && stop.check()) {
        return;
      }
      if (k > 0 || problem_.start.before_first) {
        const Scalar* const noise = k == 0 && problem_.start.noise_mean ? problem_.start.noise_mean.at(i) : nullptr;
        means_.predict(i, k, data.driving_input(problem_.model.input_lag, i, k), noise, state_.x);
      }
      if (history.kernels.count() > 0) {
        std::copy_n(state_.x, n_, predicted_ + k * n_);
      }
      const Scalar gained =
          means_.update(i, k, data.z.at(i, k), data.direct_input(i, k), history.tape.at(k), state_, residual_ + k * m);
      if (!means_.finite(state_.x)) {
        state_.outcome = Outcome{Status::non_finite, k};
        return;
      }
      state_.loglik += static_cast<double>(gained);
      std::copy_n(state_.x, n_, result_.mean.at(i, k));
      if (result_.filtered_mean) {
        std::copy_n(state_.x, n_, result_.filtered_mean.at(i, k));
      }
    }
  }

  void backward(Index i, Index length, const History<Scalar>& history, Interrupt& stop) noexcept {
    const Index m = problem_.model.dims.m;
    back_.clear();
    Index kernel = 0;
    for (Index k = length; k-- > 0;) {
      if (k % look_every == 0 && stop.check()) {
        return;
      }
      const DiffuseSlot<Scalar>* const diffuse = history.diffuse_at(k);
      history.prefetch_cov(k - 1);
      history.prefetch_gains(k - 1);
      if (k + 1 < length) {
        back_.transition(problem_.model.A.at(i, k + 1));
      }
      if (kernel < history.kernels.count() && history.kernels.step(kernel) == k) {
        by_kernel(i, k, history.kernels.gain(kernel++));
      } else {
        back_.smooth(history.cov_at(k), history.cross_at(k), diffuse, columns_, result_.mean.at(i, k));
      }
      back_.measurement(history.tape.at(k), diffuse, columns_, residual_ + k * m);
    }
  }

  /// x_k|T = x_k|k + J (x_{k+1}|T - x_{k+1|k})                            (n) = (n) + (n×n)(n)
  void by_kernel(Index i, Index k, const Scalar* J) noexcept {
    const Scalar* const next = result_.mean.at(i, k + 1);
    Scalar* const change = predicted_ + (k + 1) * n_;
    for (Index l = 0; l < n_; ++l) {
      change[l] = next[l] - change[l];
    }
    Scalar* const x = result_.mean.at(i, k);
    for (Index l = 0; l < n_; ++l) {
      x[l] += linalg::dot(n_, J + l * n_, change);
    }
  }

  FilterProblem<Scalar> problem_;
  SmootherResult<Scalar> result_;
  Index n_;
  Means<Scalar> means_;
  BackwardMean<Scalar> back_;
  Scalar* residual_;
  Index columns_;
  Scalar* predicted_ = nullptr;  // x_k|k-1 (T×n), where some step goes by its kernel
  Workspace memory_;
  MeanState<Scalar> state_;
};

}  // namespace kelman::linear
