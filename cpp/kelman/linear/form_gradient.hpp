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

#include "kelman/linear/form_passage.hpp"
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
        passage_(problem, memory_),
        adjoint_(problem.model, problem.start.columns, memory_),
        terms_(problem, adjoint_, memory_),
        sums_(problem, result, memory_) {}

  /// The derivatives summed since they were cleared.
  [[nodiscard]] GradientSums& sums() noexcept { return sums_; }

  /// Adds the derivatives of series i to the sums, and writes its log-likelihood and what goes by series.
  void run(Index i, Interrupt& stop) {
    const Index length = problem_.data.length(i, problem_.model.dims.T);
    passage_.begin(i);
    passage_.forward(i, 0, length, stop);
    const Outcome outcome = passage_.outcome();
    if (outcome.status == Status::ok) {
      adjoint_.clear();
      backward(i, length, stop);
    } else {
      spoil(i);
    }
    *result_.loglik.at(i) =
        outcome.usable() ? static_cast<Scalar>(passage_.loglik()) : std::numeric_limits<Scalar>::quiet_NaN();
    *result_.status.at(i) = static_cast<std::int32_t>(outcome.status);
    *result_.failed_at.at(i) = static_cast<std::int64_t>(outcome.at);
  }

  /// The number of steps of series i, 4, 8, 16, ..., after which nothing is diffuse any more, and the moments of the
  /// state there; 0 if that takes more than half of the series, or there is trouble before.
  [[nodiscard]] Index settle(Index i, Scalar* mean, Scalar* cov, Interrupt& stop) {
    const Index length = problem_.data.length(i, problem_.model.dims.T);
    passage_.begin(i);
    Index done = 0;
    for (Index steps = 4; 2 * steps <= length; steps *= 2) {
      passage_.forward(i, done, steps, stop);
      done = steps;
      if (passage_.outcome().status != Status::ok) {
        return 0;
      }
      if (passage_.settled()) {
        passage_.keep(mean, cov);
        return steps;
      }
    }
    return 0;
  }

  /// As `run`, for the first `steps` of series i. The rest has written its results, and by the moments of the state
  /// between them the derivatives r (n) and G (n×n).
  void run_first(Index i, Index steps, const Scalar* r, const Scalar* G, Interrupt& stop) {
    passage_.begin(i);
    passage_.forward(i, 0, steps, stop);
    *result_.loglik.at(i) += static_cast<Scalar>(passage_.loglik());
    *result_.failed_at.at(i) += *result_.failed_at.at(i) < 0 ? 0 : static_cast<std::int64_t>(steps);
    if (*result_.status.at(i) != 0) {
      spoil(i);
      return;
    }
    adjoint_.resume(r, G);
    backward(i, steps, stop);
  }

 private:
  /// There is no derivative.
  void spoil(Index i) noexcept {
    sums_.fill(std::numeric_limits<double>::quiet_NaN());
    std::fill_n(result_.mean.at(i), problem_.model.dims.n, std::numeric_limits<Scalar>::quiet_NaN());
  }

  /// Back over the first `steps` of series i from the adjoint after them.
  void backward(Index i, Index steps, Interrupt& stop) {
    const bool joint = problem_.model.joint();
    passage_.backward(i, steps, stop, [&](Index k) {
      const bool moves = k > 0 || problem_.start.before_first;
      const Known<Scalar> before = passage_.before(i, k);
      const auto kept = passage_.step(k);
      const Scalar* const V = before.rank > 0 && moves ? terms_.moved(i, k, before) : before.V;
      adjoint_.measurement(passage_.slot(k), passage_.diffuse(k), kept.v);
      terms_.measurement(i, k, passage_.slot(k), {kept.x, kept.P, nullptr, V, before.rank}, sums_);
      if (moves) {
        const Field<double> noise = k == 0 ? sums_.fields.noise_cov : joint ? Field<double>{} : sums_.fields.Q;
        terms_.transition(i, k, before, noise, std::max<Index>(k - 1, 0), sums_);
        adjoint_.transition(problem_.model.A.at(i, k), before.rank);
      }
      if (k == 0) {
        terms_.start(before, result_.mean.at(i), sums_);
      }
    });
  }

  FilterProblem<Scalar> problem_;
  GradientResult<Scalar> result_;
  Workspace memory_;
  FormPassage<F> passage_;
  Adjoint<Scalar> adjoint_;
  GradientTerms<Scalar> terms_;
  GradientSums sums_;
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
