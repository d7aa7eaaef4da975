// SPDX-License-Identifier: BSD-3-Clause
// The smoother of a batch: one series at a time, or covariances once and the means of all that have the same.
#pragma once

#include <memory>
#include <vector>

#include "kelman/linear/shared/smoother.hpp"
#include "kelman/linear/smoother.hpp"

namespace kelman::linear {

/// Smooths one series at a time; one object per thread.
template <Form F>
class SeriesSmoother {
 public:
  using Scalar = typename F::scalar;

  SeriesSmoother(const FilterProblem<Scalar>& problem, const SmootherResult<Scalar>& result)
      : problem_(problem),
        result_(result),
        history_(problem, !result.filtered_cov, memory_),
        covariances_(problem, result, true, memory_),
        means_(problem, result, memory_) {}

  [[gnu::noinline]] void run(Index i, Interrupt& stop) {
    const Index length = problem_.data.length(i, problem_.model.dims.T);
    if (result_.filtered_cov) {
      history_.cov = result_.filtered_cov.at(i);
      history_.cov_step = result_.filtered_cov.time;
    }
    const Outcome trouble = covariances_.forward(i, length, history_, stop);
    if (trouble.usable()) {
      covariances_.backward(i, length, history_, stop);
    }
    const Outcome outcome = means_.run(i, length, history_, trouble, stop);
    covariances_.blank_rest(i, outcome.usable() ? length : 0, outcome.usable() ? length : outcome.at);
  }

  /// Whether the covariances of some series were constant from some step on.
  [[nodiscard]] bool steady() const noexcept { return covariances_.steady(); }

 private:
  FilterProblem<Scalar> problem_;
  SmootherResult<Scalar> result_;
  Workspace memory_;
  History<Scalar> history_;
  CovarianceSmoother<F> covariances_;
  MeanSmoother<Scalar> means_;
};

/// Smooths the chosen series of a problem, whose covariances differ. Tells how.
template <Form F>
[[gnu::cold]] Method smooth_each(const FilterProblem<typename F::scalar>& problem,
                                 const SmootherResult<typename F::scalar>& result, int threads, Interrupt& stop) {
  const Dims& dims = problem.model.dims;
  const Index count = problem.count();
  const double step = 3 * work_per_step(problem.model, false);
  const int useful = useful_threads(threads, step * static_cast<double>(count) * static_cast<double>(dims.T));
  const Index grain = chunk_of(dims, step);
  std::vector<std::unique_ptr<SeriesSmoother<F>>> workers;
  for (Index w = 0; w < worker_count(count, grain, useful); ++w) {
    workers.push_back(std::make_unique<SeriesSmoother<F>>(problem, result));
  }
  parallel_chunks(count, grain, useful, stop, [&](Index begin, Index end, Index w) {
    for (Index j = begin; j < end && !stop.requested(); ++j) {
      workers[static_cast<std::size_t>(w)]->run(problem.series(j), stop);
    }
  });
  Method method = Way::univariate;
  for (const auto& worker : workers) {
    method |= worker->steady() ? Method(Way::steady) : Method();
  }
  return method;
}

/// The smoothed covariances of the first of the chosen series for the others, if these have entries of their own.
template <Real Scalar>
void copy_covariances(const FilterProblem<Scalar>& problem, const SmootherResult<Scalar>& result) noexcept {
  const Index size = problem.model.dims.T * problem.model.dims.n * problem.model.dims.n;
  for (const Field<Scalar>* field : {&result.cov, &result.lag_one_cov}) {
    for (Index j = 1; *field && !field->shared() && j < problem.count(); ++j) {
      std::copy_n(field->at(problem.series(0)), size, field->at(problem.series(j)));
    }
  }
}

/// Smooths the chosen series of a problem, whose covariances are the same.
template <Form F>
[[gnu::cold]] void smooth_shared(const FilterProblem<typename F::scalar>& problem,
                                 const SmootherResult<typename F::scalar>& result, int threads, Interrupt& stop) {
  using Scalar = typename F::scalar;
  const Dims& dims = problem.model.dims;
  const Index first = problem.series(0);
  const Index length = problem.data.length(first, dims.T);
  Workspace memory;
  History<Scalar> history(problem, true, memory);
  CovarianceSmoother<F> covariances(problem, result, false, memory);
  const Outcome trouble = covariances.forward(first, length, history, stop);
  if (trouble.usable() && !stop.requested()) {
    covariances.backward(first, length, history, stop);
  }
  covariances.blank_rest(first, trouble.usable() ? length : 0, length);
  copy_covariances(problem, result);

  // means side by side; one by one where components without noise are compared, and where a mean overflowed
  std::vector<Index> left;
  for (Index j = 0; j < problem.count(); ++j) {
    left.push_back(problem.series(j));
  }
  if (trouble.usable() && length > 0 && !stop.requested() && !shared::some_exact(history.tape, length)) {
    left = shared::smooth_means<shared::SideBySide<Scalar>>(problem, result, history, threads, stop);
  }
  const auto count = static_cast<Index>(left.size());
  const double step = 3 * work_per_step(problem.model, true);
  const int useful = useful_threads(threads, step * static_cast<double>(count * dims.T));
  const Index grain = chunk_of(dims, step);
  std::vector<std::unique_ptr<Workspace>> own;
  std::vector<MeanSmoother<Scalar>> means;
  for (Index w = 0; count > 0 && w < worker_count(count, grain, useful); ++w) {
    means.emplace_back(problem, result, *own.emplace_back(std::make_unique<Workspace>()));
  }
  parallel_chunks(count, grain, useful, stop, [&](Index begin, Index end, Index worker) {
    for (Index at = begin; at < end && !stop.requested(); ++at) {
      const Index i = left[static_cast<std::size_t>(at)];
      static_cast<void>(means[static_cast<std::size_t>(worker)].run(i, length, history, trouble, stop));
    }
  });
}

}  // namespace kelman::linear
