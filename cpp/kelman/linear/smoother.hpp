// SPDX-License-Identifier: BSD-3-Clause
// The smoother: moments of every state given all measurements, by the recursions of backward.hpp.
//
// Four passes: covariances forward (gains to a tape), means forward (innovations kept), means backward, covariances
// backward. Filtered moments wait in the result arrays until the way back replaces them:
//
//   x_k|T = x_k|k + P_k|k r,   P_k|T = P_k|k - P_k|k N P_k|k      r, N: what the measurements after k say
//
// Series that share their covariances go through the first and last pass once.
#pragma once

#include <limits>
#include <memory>
#include <vector>

#include "kelman/linear/backward.hpp"
#include "kelman/linear/filter.hpp"

namespace kelman::linear {

/// What the passes leave for each other, apart from the result arrays.
template <Real Scalar>
struct History {
  History(const FilterProblem<Scalar>& problem, Workspace& memory)
      : tape(problem.model, problem.model.dims.T, memory),
        diffuse(problem.model, problem.start.columns),
        cross(problem.model.joint()
                  ? memory.take<Scalar>(problem.model.dims.T * problem.model.dims.n * problem.model.dims.n)
                  : nullptr) {}

  /// Step k of the diffuse phase, or null after it.
  [[nodiscard]] const DiffuseSlot<Scalar>* diffuse_at(Index k) const noexcept {
    return k < diffuse.count() ? &diffuse.at(k) : nullptr;
  }

  /// Cov(x_k, w_k | z_1..z_k), or null without S.
  [[nodiscard]] Scalar* cross_at(Index k, Index n) const noexcept {
    return cross == nullptr ? nullptr : cross + k * n * n;
  }

  Tape<Scalar> tape;
  DiffuseTape<Scalar> diffuse;
  Scalar* cross;
};

/// Covariances there and back for one series, or for all that share them.
template <Form F>
class CovarianceSmoother {
 public:
  using Scalar = typename F::scalar;

  CovarianceSmoother(const FilterProblem<Scalar>& problem, const SmootherResult<Scalar>& result, Workspace& memory)
      : problem_(problem),
        result_(result),
        n_(problem.model.dims.n),
        form_(problem.model, problem.start.columns, problem.diffuse_constant, memory),
        back_(problem.model, problem.start.columns, memory),
        mask_(memory.take<unsigned char>(problem.model.dims.m)) {}

  /// Fills the tape, and the covariance results with filtered (and predicted) covariances.
  [[nodiscard]] Outcome forward(Index i, Index length, History<Scalar>& history, Interrupt& stop) {
    Outcome outcome;
    history.diffuse.clear();
    form_.load(problem_.start, i);
    for (Index k = 0; k < length && !(k % look_every == 0 && stop.check()); ++k) {
      const bool diffuse = form_.moments().rank > 0;
      if (k > 0 || problem_.start.before_first) {
        outcome.report(form_.predict(i, k), k);
      }
      if (result_.lag_one_cov) {
        const auto moments = form_.moments();
        linalg::copy_block(n_, n_, moments.cov, moments.cov_ld, result_.lag_one_cov.at(i, k), n_);
      }
      observe(problem_.model.dims.m, problem_.data.z.at(i, k), mask_);
      if (outcome.usable()) {
        outcome.report(form_.update(i, k, mask_, history.tape.at(k), diffuse ? &history.diffuse.append() : nullptr), k);
      }
      if (!outcome.usable()) {
        return outcome;
      }
      const auto moments = form_.moments();
      linalg::copy_block(n_, n_, moments.cov, moments.cov_ld, result_.cov.at(i, k), n_);
      if (history.cross != nullptr) {
        linalg::copy_block(n_, n_, moments.noise_cross, moments.noise_cross_ld, history.cross_at(k, n_), n_);
      }
    }
    return outcome;
  }

  /// Replaces the filtered by smoothed covariances.
  void backward(Index i, Index length, const History<Scalar>& history, Interrupt& stop) noexcept {
    back_.clear();
    for (Index k = length; k-- > 0;) {
      if (k % look_every == 0 && stop.check()) {
        return;
      }
      const DiffuseSlot<Scalar>* const diffuse = history.diffuse_at(k);
      if (k + 1 < length) {
        if (result_.lag_one_cov) {
          back_.lag_one(problem_.model.A.at(i, k + 1), result_.cov.at(i, k), history.cross_at(k, n_), n_,
                        diffuse != nullptr ? diffuse->V : nullptr, diffuse != nullptr ? diffuse->rank : 0,
                        result_.lag_one_cov.at(i, k + 1));
        }
        back_.transition(problem_.model.A.at(i, k + 1), k + 1 < history.diffuse.count());
      }
      back_.smooth(result_.cov.at(i, k), history.cross_at(k, n_), diffuse);
      back_.measurement(history.tape.at(k), diffuse);
    }
    if (result_.lag_one_cov && problem_.start.before_first && length > 0) {
      const Start<Scalar>& start = problem_.start;
      back_.lag_one(problem_.model.A.at(i, 0), start.cov.at(i), start.noise_cross ? start.noise_cross.at(i) : nullptr,
                    n_, start.inf ? start.inf.at(i) : nullptr,
                    start.inf ? static_cast<Index>(*start.rank.at(i)) : 0, result_.lag_one_cov.at(i, 0));
    }
  }

  /// NaN where nothing was computed: everything of a failed series, what is beyond its end, and the first lag-one
  /// covariance where nothing precedes the first state.
  void blank_rest(Index i, Index from) const noexcept {
    const Index T = problem_.model.dims.T;
    blank(result_.cov, i, from, T, n_ * n_, false);
    blank(result_.lag_one_cov, i, from, T, n_ * n_, false);
    if (!problem_.start.before_first && T > 0) {
      blank(result_.lag_one_cov, i, Index(0), Index(1), n_ * n_, false);
    }
  }

 private:
  static constexpr Index look_every = 16;

  FilterProblem<Scalar> problem_;
  SmootherResult<Scalar> result_;
  Index n_;
  F form_;
  BackwardCovariance<Scalar> back_;
  unsigned char* mask_;
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
        columns_(memory.take<Scalar>(problem.start.columns)) {
    state_.x = memory.take<Scalar>(problem.model.size());
    state_.reach = memory.take<Scalar>(n_);
  }

  /// Both passes; `trouble` is what befell the covariances.
  [[nodiscard]] Outcome run(Index i, Index length, const History<Scalar>& history, const Outcome& trouble,
                            Interrupt& stop) noexcept {
    means_.load(problem_.start, i, state_);
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
    *result_.loglik.at(i) =
        failed ? std::numeric_limits<Scalar>::quiet_NaN() : static_cast<Scalar>(state_.loglik);
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
      const Scalar gained = means_.update(i, k, data.z.at(i, k), data.direct_input(i, k), history.tape.at(k), state_,
                                          residual_ + k * m);
      if (!means_.finite(state_.x)) {
        state_.outcome = Outcome{Status::non_finite, k};
        return;
      }
      state_.loglik += static_cast<double>(gained);
      std::copy_n(state_.x, n_, result_.mean.at(i, k));
    }
  }

  void backward(Index i, Index length, const History<Scalar>& history, Interrupt& stop) noexcept {
    const Index m = problem_.model.dims.m;
    back_.clear();
    for (Index k = length; k-- > 0;) {
      if (k % look_every == 0 && stop.check()) {
        return;
      }
      const DiffuseSlot<Scalar>* const diffuse = history.diffuse_at(k);
      if (k + 1 < length) {
        back_.transition(problem_.model.A.at(i, k + 1), k + 1 < history.diffuse.count());
      }
      back_.smooth(result_.cov.at(i, k), history.cross_at(k, n_), diffuse, problem_.start.columns, columns_,
                   result_.mean.at(i, k));
      back_.measurement(history.tape.at(k), diffuse, residual_ + k * m);
    }
  }

  FilterProblem<Scalar> problem_;
  SmootherResult<Scalar> result_;
  Index n_;
  Means<Scalar> means_;
  BackwardMean<Scalar> back_;
  Scalar* residual_;
  Scalar* columns_;
  MeanState<Scalar> state_;
};

/// Smooths all series of a problem whose covariances differ.
template <Form F>
void smooth_each(const FilterProblem<typename F::scalar>& problem, const SmootherResult<typename F::scalar>& result,
                 int threads, Interrupt& stop) {
  using Scalar = typename F::scalar;
  struct Worker {
    Worker(const FilterProblem<Scalar>& given, const SmootherResult<Scalar>& to)
        : history(given, memory), covariances(given, to, memory), means(given, to, memory) {}
    Workspace memory;
    History<Scalar> history;
    CovarianceSmoother<F> covariances;
    MeanSmoother<Scalar> means;
  };
  const Dims& dims = problem.model.dims;
  const double step = 3 * work_per_step(problem.model, false);
  const int useful = useful_threads(threads, step * static_cast<double>(dims.N) * static_cast<double>(dims.T));
  const Index grain = chunk_of(dims, step);
  std::vector<std::unique_ptr<Worker>> workers;
  for (Index w = 0; w < worker_count(dims.N, grain, useful); ++w) {
    workers.push_back(std::make_unique<Worker>(problem, result));
  }
  parallel_chunks(dims.N, grain, useful, stop, [&](Index begin, Index end, Index w) {
    Worker& worker = *workers[static_cast<std::size_t>(w)];
    for (Index i = begin; i < end && !stop.requested(); ++i) {
      const Index length = problem.data.length(i, dims.T);
      const Outcome trouble = worker.covariances.forward(i, length, worker.history, stop);
      const Outcome outcome = worker.means.run(i, length, worker.history, trouble, stop);
      if (outcome.usable()) {
        worker.covariances.backward(i, length, worker.history, stop);
      }
      worker.covariances.blank_rest(i, outcome.usable() ? length : 0);
    }
  });
}

/// Smooths all series of a problem whose covariances are the same.
template <Form F>
void smooth_shared(const FilterProblem<typename F::scalar>& problem, const SmootherResult<typename F::scalar>& result,
                   int threads, Interrupt& stop) {
  using Scalar = typename F::scalar;
  const Dims& dims = problem.model.dims;
  const Index length = problem.data.length(0, dims.T);
  Workspace memory;
  History<Scalar> history(problem, memory);
  CovarianceSmoother<F> covariances(problem, result, memory);
  const Outcome trouble = covariances.forward(0, length, history, stop);

  const double step = 3 * work_per_step(problem.model, true);
  const int useful = useful_threads(threads, step * static_cast<double>(dims.N) * static_cast<double>(dims.T));
  const Index grain = chunk_of(dims, step);
  std::vector<Workspace> own(static_cast<std::size_t>(worker_count(dims.N, grain, useful)));
  std::vector<MeanSmoother<Scalar>> means;
  means.reserve(own.size());
  for (Workspace& each : own) {
    means.emplace_back(problem, result, each);
  }
  parallel_chunks(dims.N, grain, useful, stop, [&](Index begin, Index end, Index worker) {
    for (Index i = begin; i < end && !stop.requested(); ++i) {
      static_cast<void>(means[static_cast<std::size_t>(worker)].run(i, length, history, trouble, stop));
    }
  });
  if (trouble.usable() && !stop.requested()) {
    covariances.backward(0, length, history, stop);
  }
  covariances.blank_rest(0, trouble.usable() ? length : 0);
}

/// Smooths all series of a problem with form F.
template <Form F>
void run_smoother(const FilterProblem<typename F::scalar>& problem, const SmootherResult<typename F::scalar>& result,
                  int threads, Interrupt& stop) {
  if (problem.shared) {
    smooth_shared<F>(problem, result, threads, stop);
  } else {
    smooth_each<F>(problem, result, threads, stop);
  }
}

}  // namespace kelman::linear
