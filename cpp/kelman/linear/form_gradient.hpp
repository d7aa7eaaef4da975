// SPDX-License-Identifier: BSD-3-Clause
// The log-likelihood and its derivative by every entry of the model and of its start, for every kind of model.
//
// Forward: the filter, keeping the moments of every step. Backward: the adjoint r, N of adjoint.hpp, from which each
// step's derivatives follow (gradient_terms.hpp). Components that the model predicts exactly say nothing and count
// nothing. The derivative of a series that failed is NaN.
#pragma once

#include <limits>
#include <memory>
#include <vector>

#include "kelman/linear/filter.hpp"
#include "kelman/linear/gradient_terms.hpp"

namespace kelman::linear {

/// Both passes, for one series at a time; one object per thread.
template <Form F>
class FormGradient {
 public:
  using Scalar = typename F::scalar;

  FormGradient(const FilterProblem<Scalar>& problem, const GradientResult<Scalar>& result)
      : problem_(problem),
        result_(result),
        n_(problem.model.dims.n),
        m_(problem.model.dims.m),
        columns_(problem.start.columns),
        form_(problem.model, columns_, problem.diffuse_constant, memory_),
        means_(problem.model, memory_),
        tape_(problem.model, problem.model.dims.T, memory_),
        diffuse_(problem.model, columns_),
        adjoint_(problem.model, memory_),
        terms_(problem, adjoint_, memory_),
        sums_(problem, result, memory_),
        mask_(memory_.take<unsigned char>(m_)),
        steps_(memory_.take<Scalar>(problem.model.dims.T * step_size())) {
    state_.x = memory_.take<Scalar>(problem.model.size());
    state_.reach = memory_.take<Scalar>(n_);
  }

  /// The derivatives summed since they were cleared.
  [[nodiscard]] GradientSums& sums() noexcept { return sums_; }

  /// Adds the derivatives of series i to the sums, and writes its log-likelihood and what goes by series.
  void run(Index i, Interrupt& stop) {
    const Index length = problem_.data.length(i, problem_.model.dims.T);
    begin(i);
    forward(i, 0, length, stop);
    if (state_.outcome.status == Status::ok) {
      adjoint_.clear();
      backward(i, length, result_.mean.at(i), stop);
    } else {
      spoil(i);
    }
    *result_.loglik.at(i) =
        state_.outcome.usable() ? static_cast<Scalar>(state_.loglik) : std::numeric_limits<Scalar>::quiet_NaN();
    *result_.status.at(i) = static_cast<std::int32_t>(state_.outcome.status);
    *result_.failed_at.at(i) = static_cast<std::int64_t>(state_.outcome.at);
  }

  /// The number of steps of series i, 4, 8, 16, ..., after which nothing is diffuse any more, and the moments of the
  /// state there; 0 if that takes more than half of the series, or there is trouble before.
  [[nodiscard]] Index settle(Index i, Scalar* mean, Scalar* cov, Interrupt& stop) {
    const Index length = problem_.data.length(i, problem_.model.dims.T);
    begin(i);
    Index done = 0;
    for (Index steps = 4; 2 * steps <= length; steps *= 2) {
      forward(i, done, steps, stop);
      done = steps;
      if (state_.outcome.status != Status::ok) {
        return 0;
      }
      if (form_.moments().rank == 0) {
        keep(mean, cov);
        return steps;
      }
    }
    return 0;
  }

  /// As `run`, for the first `steps` of series i. The rest has written its results, and by the moments of the state
  /// between them the derivatives r (n) and G (n×n).
  void run_first(Index i, Index steps, const Scalar* r, const Scalar* G, Interrupt& stop) {
    begin(i);
    forward(i, 0, steps, stop);
    *result_.loglik.at(i) += static_cast<Scalar>(state_.loglik);
    *result_.failed_at.at(i) += *result_.failed_at.at(i) < 0 ? 0 : static_cast<std::int64_t>(steps);
    if (*result_.status.at(i) != 0) {
      spoil(i);
      return;
    }
    adjoint_.resume(r, G);
    backward(i, steps, result_.mean.at(i), stop);
  }

 private:
  static constexpr Index look_every = 16;

  /// The moments of one step that the way back needs.
  struct Kept {
    Scalar* x;    ///< mean before the measurement (n)
    Scalar* P;    ///< finite covariance before (n×n)
    Scalar* x_f;  ///< mean after (n)
    Scalar* P_f;  ///< finite covariance after (n×n)
    Scalar* C;    ///< Cov(x, w) after, null without S (n×n)
    Scalar* v;    ///< innovations (count)
  };

  [[nodiscard]] Index step_size() const noexcept { return m_ + 2 * n_ + (problem_.model.joint() ? 3 : 2) * n_ * n_; }

  [[nodiscard]] Kept step(Index k) const noexcept {
    Scalar* const v = steps_ + k * step_size();
    Scalar* const x = v + m_;
    Scalar* const P = x + 2 * n_;
    return {x, P, x + n_, P + n_ * n_, problem_.model.joint() ? P + 2 * n_ * n_ : nullptr, v};
  }

  [[nodiscard]] const DiffuseSlot<Scalar>* diffuse_at(Index k) const noexcept {
    return k < diffuse_.count() ? &diffuse_.at(k) : nullptr;
  }

  void begin(Index i) {
    form_.load(problem_.start, i);
    means_.load(problem_.start, i, state_);
    diffuse_.clear();
  }

  /// There is no derivative.
  void spoil(Index i) noexcept {
    sums_.fill(std::numeric_limits<double>::quiet_NaN());
    std::fill_n(result_.mean.at(i), n_, std::numeric_limits<Scalar>::quiet_NaN());
  }

  /// Steps [from, to) of series i.
  void forward(Index i, Index from, Index to, Interrupt& stop) {
    for (Index k = from; k < to && state_.outcome.usable(); ++k) {
      if (k % look_every == 0 && stop.check()) {
        return;
      }
      advance(i, k);
    }
  }

  /// Step k: the prediction, the covariances and the mean over the measurement.
  void advance(Index i, Index k) {
    const Data<Scalar>& data = problem_.data;
    Outcome& outcome = state_.outcome;
    const Kept kept = step(k);
    const bool diffuse = form_.moments().rank > 0;
    if (k > 0 || problem_.start.before_first) {
      const Scalar* const noise = k == 0 && problem_.start.noise_mean ? problem_.start.noise_mean.at(i) : nullptr;
      outcome.report(form_.predict(i, k), k);
      means_.predict(i, k, data.driving_input(problem_.model.input_lag, i, k), noise, state_.x);
    }
    keep(kept.x, kept.P);
    if (outcome.usable()) {
      observe(m_, data.z.at(i, k), mask_);
      outcome.report(form_.update(i, k, mask_, tape_.at(k), diffuse ? &diffuse_.append() : nullptr), k);
    }
    if (!outcome.usable()) {
      return;
    }
    state_.loglik +=
        static_cast<double>(means_.update(i, k, data.z.at(i, k), data.direct_input(i, k), tape_.at(k), state_, kept.v));
    keep(kept.x_f, kept.P_f);
    if (kept.C != nullptr) {
      const auto moments = form_.moments();
      linalg::copy_block(n_, n_, moments.noise_cross, moments.noise_cross_ld, kept.C, n_);
    }
    if (!means_.finite(state_.x)) {
      outcome = Outcome{Status::non_finite, k};
    }
  }

  void keep(Scalar* x, Scalar* P) const noexcept {
    const auto moments = form_.moments();
    std::copy_n(state_.x, n_, x);
    linalg::copy_block(n_, n_, moments.cov, moments.cov_ld, P, n_);
  }

  using Known = typename GradientTerms<Scalar>::Known;

  /// What is known of (x, w) before the transition into x_k.
  [[nodiscard]] Known known(Index i, Index k) const noexcept {
    if (k > 0) {
      const Kept last = step(k - 1);
      const DiffuseSlot<Scalar>* const diffuse = diffuse_at(k - 1);
      return {last.x_f, last.P_f, last.C, diffuse != nullptr ? diffuse->V : nullptr,
              diffuse != nullptr ? diffuse->rank : 0};
    }
    const Start<Scalar>& start = problem_.start;
    return {start.mean.at(i), start.cov.at(i), start.noise_cross ? start.noise_cross.at(i) : nullptr,
            start.inf ? start.inf.at(i) : nullptr, start.inf ? static_cast<Index>(*start.rank.at(i)) : 0};
  }

  /// Back over the first `steps` of series i from the adjoint after them.
  void backward(Index i, Index steps, Scalar* mean, Interrupt& stop) noexcept {
    const bool joint = problem_.model.joint();
    for (Index k = steps; k-- > 0;) {
      if (k % look_every == 0 && stop.check()) {
        return;
      }
      const bool moves = k > 0 || problem_.start.before_first;
      const Known before = known(i, k);
      const Kept kept = step(k);
      const Scalar* const V = before.rank > 0 && moves ? terms_.moved(i, k, before) : before.V;
      adjoint_.measurement(tape_.at(k), diffuse_at(k), kept.v);
      terms_.measurement(i, k, tape_.at(k), {kept.x, kept.P, nullptr, V, before.rank}, sums_);
      if (moves) {
        const Field<double> noise = k == 0 ? sums_.fields.noise_cov : joint ? Field<double>{} : sums_.fields.Q;
        terms_.transition(i, k, before, noise, std::max<Index>(k - 1, 0), sums_);
        adjoint_.transition(problem_.model.A.at(i, k), diffuse_.count() > 0);
      }
    }
    terms_.start(known(i, 0), mean, sums_);
  }

  FilterProblem<Scalar> problem_;
  GradientResult<Scalar> result_;
  Index n_;
  Index m_;
  Index columns_;
  Workspace memory_;
  F form_;
  Means<Scalar> means_;
  Tape<Scalar> tape_;
  DiffuseTape<Scalar> diffuse_;
  Adjoint<Scalar> adjoint_;
  GradientTerms<Scalar> terms_;
  GradientSums sums_;
  unsigned char* mask_;
  Scalar* steps_;
  MeanState<Scalar> state_;
};

/// Calls `work(worker, i)` for every series, which adds its derivatives to the sums of the worker, and adds the sums to
/// the result. A sum over series is made chunk by chunk, in the order of the series.
template <Form F, class Work>
void each_series(const FilterProblem<typename F::scalar>& problem, const GradientResult<typename F::scalar>& result,
                 bool summed, double steps, int threads, Interrupt& stop, Work&& work) {
  const Dims& dims = problem.model.dims;
  const double series = 4 * steps * work_per_step(problem.model, false);
  const int useful = useful_threads(threads, series * static_cast<double>(dims.N));
  const Index grain = static_cast<Index>(std::clamp(1e5 / std::max(series, 1.0), 1.0, 1024.0));
  std::vector<std::unique_ptr<FormGradient<F>>> workers;
  for (Index w = 0; w < worker_count(dims.N, grain, useful); ++w) {
    workers.push_back(std::make_unique<FormGradient<F>>(problem, result));
  }
  Workspace memory;
  GradientSums total(problem, result, memory);
  InTurn turn;
  parallel_chunks(dims.N, grain, useful, stop, [&](Index begin, Index end, Index w) {
    InTurn::Place place(turn, begin, end);
    FormGradient<F>& worker = *workers[static_cast<std::size_t>(w)];
    worker.sums().clear();
    for (Index i = begin; i < end && !stop.requested(); ++i) {
      work(worker, i);
      if (!summed) {
        worker.sums().write(result, i);
        worker.sums().clear();
      }
    }
    if (summed) {
      place.wait();
      total.add(worker.sums());
    }
  });
  if (summed) {
    total.write(result, 0);
  }
}

/// The gradient of all series of a problem; the result is zero on entry.
template <Form F>
void run_form_gradient(const FilterProblem<typename F::scalar>& problem,
                       const GradientResult<typename F::scalar>& result, bool summed, int threads, Interrupt& stop) {
  each_series<F>(problem, result, summed, static_cast<double>(problem.model.dims.T), threads, stop,
                 [&](FormGradient<F>& worker, Index i) { worker.run(i, stop); });
}

}  // namespace kelman::linear
